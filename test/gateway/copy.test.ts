import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { from, to } from 'pg-copy-streams'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { GatewayPool, Tenancy } from '../../src/index.ts'
import { memoryHeld } from '../support/memory.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { enterUnguarded } from '../support/unguarded.ts'
import { recordWire } from '../support/wire-recorder.ts'

const INTO = 'copy orders (owner, note) from stdin'

let world: TenantWorld
let tenancy: Tenancy
let acme: GatewayPool
let globex: GatewayPool
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  // One connection: whatever one tenant leaves on it, the next one meets.
  tenancy = world.open({ max: 1, waitTimeoutMs: 20_000 })
  acme = tenancy.poolFor('acme')
  globex = tenancy.poolFor('globex')
})
afterAll(() => world.close())
beforeEach(async () => {
  await acme.query('delete from orders where note is not null')
  await globex.query('delete from orders where note is not null')
})

/** The one connection is free, rests, and shows its next tenant nothing but its own. */
async function expectClean(): Promise<void> {
  expect((await globex.query('select distinct owner from orders')).rows).toEqual([{ owner: 'globex' }])
  expect((await tenancy.central.query('select current_user as login')).rows).toEqual([
    { login: 'tenantry_app' },
  ])
  expect(tenancy.pool.idleCount).toBe(1)
}

async function countNotes(pool: GatewayPool): Promise<number> {
  const { rows } = await pool.query<{ n: number }>('select count(note)::int as n from orders')
  return rows[0]?.n ?? -1
}

function* lines(count: number, owner: string, width = 20): Generator<string> {
  const note = 'x'.repeat(width)
  for (let n = 0; n < count; n += 1) yield `${owner}\t${n}${note}\n`
}

/** Takes what comes, slower than it could, and keeps count. It rests after the first piece. */
function sink(pauseMs = 0): { stream: Writable; count(): number; first(): string } {
  let newlines = 0
  let taken = 0
  let first = ''
  const stream = new Writable({
    highWaterMark: 1024,
    write(chunk: Buffer, _, done) {
      if (first === '') first = chunk.toString('utf8', 0, 60)
      for (const byte of chunk) if (byte === 10) newlines += 1
      if (taken === 0) setTimeout(done, pauseMs)
      else setImmediate(done)
      taken += 1
    },
  })
  return { stream, count: () => newlines, first: () => first }
}

describe('COPY … FROM STDIN', () => {
  test('100,000 rows each of two tenants at once over one connection; finished means committed', async () => {
    await Promise.all(
      (
        [
          ['acme', acme],
          ['globex', globex],
        ] as const
      ).map(async ([owner, pool]) => {
        const copy = pool.query(from(INTO))
        await pipeline(Readable.from(lines(100_000, owner)), copy)
        expect(copy.rowCount).toBe(100_000)
        expect(await countNotes(pool)).toBe(100_000)
      }),
    )
    await expectClean()
  })

  test('memory stays flat while 100,000 wide rows pass', async () => {
    const before = memoryHeld()
    let most = 0
    function* watched(): Generator<string> {
      let n = 0
      for (const line of lines(100_000, 'acme', 1500)) {
        n += 1
        if (n % 10_000 === 0) most = Math.max(most, memoryHeld())
        yield line
      }
    }
    await pipeline(Readable.from(watched()), acme.query(from(INTO)))
    // All rows together are 150 MB.
    expect(most - before).toBeLessThan(60_000_000)
    await expectClean()
  })

  test('a line that does not fit is its error, and nothing of it stays', async () => {
    function* broken(): Generator<string> {
      yield* lines(50_000, 'acme')
      yield 'one\ttoo\tmany\n'
      yield* lines(50_000, 'acme')
    }
    await expect(pipeline(Readable.from(broken()), acme.query(from(INTO)))).rejects.toMatchObject({
      code: '22P04',
    })
    expect(await countNotes(acme)).toBe(0)
    await expectClean()
  })

  test('destroyed by its source, at once and in the middle: nothing stays', async () => {
    function* failing(): Generator<string> {
      yield* lines(20_000, 'acme')
      throw new Error('the source failed')
    }
    await expect(pipeline(Readable.from(failing()), acme.query(from(INTO)))).rejects.toThrow(
      'the source failed',
    )
    expect(await countNotes(acme)).toBe(0)
    const copy = acme.query(from(INTO))
    const closed = new Promise((resolve) => copy.once('close', resolve))
    copy.once('error', () => undefined)
    copy.destroy()
    await closed
    expect(await countNotes(acme)).toBe(0)
    await expectClean()
  })

  test('P3: released in the middle: rolled back, the connection serves the next', async () => {
    const client = await acme.connect()
    const copy = client.query(from(INTO))
    const failed = new Promise((resolve) => copy.once('error', resolve))
    await new Promise((resolve) => copy.write('acme\tx\n', resolve))
    client.release()
    await failed
    expect(await countNotes(acme)).toBe(0)
    await expectClean()
  })

  test('inside a transaction it is part of it', async () => {
    const client = await acme.connect()
    await client.query('begin')
    await pipeline(Readable.from(lines(10, 'acme')), client.query(from(INTO)))
    expect((await client.query('select count(note)::int as n from orders')).rows).toEqual([{ n: 10 }])
    await client.query('rollback')
    client.release()
    expect(await countNotes(acme)).toBe(0)
    await expectClean()
  })

  test('a deferred constraint that fails at COMMIT fails the stream', async () => {
    const { schema } = world.tenants['acme']?.home ?? { schema: '' }
    await world.db.sql(
      `alter table ${schema}.orders add constraint once unique (note) deferrable initially deferred`,
    )
    const twice = Readable.from(['acme\tsame\n', 'acme\tsame\n'])
    await expect(pipeline(twice, acme.query(from(INTO)))).rejects.toMatchObject({ code: '23505' })
    expect(await countNotes(acme)).toBe(0)
    await world.db.sql(`alter table ${schema}.orders drop constraint once`)
    await expectClean()
  })
})

describe('COPY … TO STDOUT', () => {
  const OUT =
    "copy (select owner, n, repeat('y', 20) from orders, generate_series(1, 100000) n limit 100000) to stdout"

  test('100,000 rows each of two tenants at once over one connection', async () => {
    for (const [owner, out] of await Promise.all(
      (
        [
          ['acme', acme],
          ['globex', globex],
        ] as const
      ).map(async ([owner, pool]) => {
        const out = sink()
        await pipeline(pool.query(to(OUT)), out.stream)
        return [owner, out] as const
      }),
    )) {
      expect(out.count()).toBe(100_000)
      expect(out.first().startsWith(`${owner}\t1\t`)).toBe(true)
    }
    await expectClean()
  })

  test('a slow reader holds the server back: memory stays flat', async () => {
    const wide = "copy (select repeat('z', 2000) from generate_series(1, 60000)) to stdout"
    const out = sink(1_500)
    const before = memoryHeld()
    let most = 0
    const timer = setInterval(() => (most = Math.max(most, memoryHeld())), 100)
    await pipeline(acme.query(to(wide)), out.stream)
    clearInterval(timer)
    expect(out.count()).toBe(60_000)
    // All rows together are 120 MB.
    expect(most - before).toBeLessThan(60_000_000)
    await expectClean()
  }, 60_000)

  test('a table, and its rowCount', async () => {
    const copy = acme.query(to('copy orders to stdout (format csv, header)'))
    let text = ''
    for await (const chunk of copy) text += String(chunk)
    expect(text.split('\n')).toHaveLength(5)
    expect(copy.rowCount).toBe(3)
    await expectClean()
  })

  test('left early: a small rest is read, a large one cut, and the next tenant served', async () => {
    const closed: string[] = []
    const stop = tenancy.on('connection:close', ({ reason }) => closed.push(reason))
    for (const [rows, cuts] of [
      [1_000, 0],
      [1_000_000, 1],
    ] as const) {
      const copy = acme.query(to(`copy (select repeat('w', 100) from generate_series(1, ${rows})) to stdout`))
      for await (const chunk of copy) {
        expect(String(chunk).startsWith('www')).toBe(true)
        break
      }
      expect((await globex.query('select distinct owner from orders')).rows).toEqual([{ owner: 'globex' }])
      expect(closed).toHaveLength(cuts)
    }
    stop()
    acme.query(to(OUT)).destroy()
    await expectClean()
  })

  test('an error, at once or in the middle, is the stream’s', async () => {
    for (const [text, code] of [
      ['copy nothing to stdout', '42P01'],
      ['copy (select 1 / (5000 - n) from generate_series(1, 9000) n) to stdout', '22012'],
    ] as const) {
      await expect(pipeline(acme.query(to(text)), sink().stream), text).rejects.toMatchObject({ code })
      await expectClean()
    }
  })

  test('P3: a client released in the middle', async () => {
    const client = await acme.connect()
    const copy = client.query(to(OUT))
    const failed = new Promise((resolve) => copy.once('error', resolve))
    await new Promise((resolve) => copy.once('readable', resolve))
    client.release()
    copy.resume()
    await failed
    expect((await globex.query('select distinct owner from orders')).rows).toEqual([{ owner: 'globex' }])
  })
})

test('COPY goes by the extended protocol, and never as a simple Query', async () => {
  const wire = await recordWire(world.db.appUrl)
  const recorded = world.open({ connection: wire.url, direct: world.db.appUrl, max: 1 }).poolFor('acme')
  await recorded.query('select 1')
  wire.take()
  await pipeline(Readable.from(['acme\tx\n']), recorded.query(from(INTO)))
  // BEGIN, context; COPY, Flush; data, CopyDone and only then Sync; COMMIT.
  expect(wire.take()).toBe('PBEBEPBDES' + 'PBEH' + 'dcS' + 'PBDES')
  await pipeline(recorded.query(to('copy orders to stdout')), sink().stream)
  expect(wire.take()).toBe('PBEBEPBDES' + 'PBES' + 'PBDES')
  await wire.close()
})

describe('S25: what COPY may reach', () => {
  const FILES = [
    "copy orders from '/etc/passwd'",
    "copy orders to '/tmp/stolen'",
    "copy orders to program 'cat'",
    "copy orders from program 'ls'",
  ]

  test('files and programs are refused by the guard, and behind it by the server', async () => {
    for (const text of FILES) {
      await expect(pipeline(acme.query(to(text)), sink().stream), text).rejects.toMatchObject({
        code: 'TNY204',
      })
      await expect(acme.query(text), text).rejects.toMatchObject({ code: 'TNY204' })
      await expect(tenancy.central.query(text), text).rejects.toMatchObject({ code: 'TNY204' })
    }
    await enterUnguarded(world, 'acme', async (query) => {
      for (const text of FILES) await expect(query(text), text).rejects.toMatchObject({ code: '42501' })
    })
  })

  test('its query is held to the rules of queries', async () => {
    for (const text of [
      "copy (select set_config('role', 'none', false)) to stdout",
      "copy (select * from query_to_xml('select 1', true, true, '')) to stdout",
      "copy (select lo_import('/etc/passwd')) to stdout",
    ]) {
      await expect(pipeline(acme.query(to(text)), sink().stream), text).rejects.toMatchObject({
        code: 'TNY204',
      })
    }
    const catalog = acme.query(from('copy pg_catalog.pg_class from stdin'))
    await expect(pipeline(Readable.from(['x\n']), catalog)).rejects.toMatchObject({ code: 'TNY204' })
  })

  test('S1: another tenant’s table is the server’s refusal', async () => {
    const { schema } = world.tenants['globex']?.home ?? { schema: '' }
    const reading = pipeline(acme.query(to(`copy ${schema}.orders to stdout`)), sink().stream)
    await expect(reading).rejects.toMatchObject({ code: '42501' })
    const writing = acme.query(from(`copy ${schema}.orders (owner) from stdin`))
    await expect(pipeline(Readable.from(['acme\n']), writing)).rejects.toMatchObject({ code: '42501' })
    await expectClean()
  })

  test('as a text it needs a stream', async () => {
    for (const text of ['copy orders to stdout', INTO]) {
      await expect(acme.query(text)).rejects.toMatchObject({ code: 'TNY210' })
      const client = await acme.connect()
      await expect(client.query(text)).rejects.toMatchObject({ code: 'TNY210' })
      client.release()
    }
  })

  test('nothing but COPY data passes through its stream', async () => {
    const copy = acme.query(from(INTO)) as unknown as {
      connection: { stream: { write(bytes: Buffer): void } }
      once(event: string, listener: () => void): void
      write(text: string, done: () => void): void
      end(): void
    }
    const finished = new Promise<void>((resolve) => copy.once('finish', resolve))
    await new Promise<void>((resolve) => copy.write('acme\tx\n', resolve))
    const simpleQuery = Buffer.from('Q\0\0\0\x0fselect 1\0')
    expect(() => copy.connection.stream.write(simpleQuery)).toThrow(TypeError)
    copy.end()
    await finished
    expect(await countNotes(acme)).toBe(1)
  })
})
