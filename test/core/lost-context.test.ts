/** The known ways to lose the context, each on purpose: a statement throws, or runs for the right tenant. */
import { AsyncResource } from 'node:async_hooks'
import { EventEmitter, on, once } from 'node:events'
import { createServer, request } from 'node:http'
import { PassThrough, Readable, Transform } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { MessageChannel, Worker } from 'node:worker_threads'
import express from 'express'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tenantMiddleware } from '../../src/http/express.ts'
import { subdomain, type Tenancy } from '../../src/index.ts'
import { portOf } from '../http/raw-http.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

let world: TenantWorld
let tenancy: Tenancy
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open()
  await tenancy.ready()
})
afterAll(() => world.close())

/** Whose rows a statement reads here, or the code of its refusal. */
async function ask(): Promise<string> {
  try {
    const { rows } = await tenancy.pool.query<{ owner: string }>('select distinct owner from orders')
    return rows.map(({ owner }) => owner).join()
  } catch (error) {
    return (error as { code: string }).code
  }
}

const LOST = 'TNY201'
const asAcme = <T>(fn: () => T | Promise<T>): Promise<T> => tenancy.run('acme', fn)
const asGlobex = <T>(fn: () => T | Promise<T>): Promise<T> => tenancy.run('globex', fn)

describe('A1: who emits decides, not who listens', () => {
  test('a listener of an emitter that is emitted outside', async () => {
    const emitter = new EventEmitter()
    const answers: Promise<string>[] = []
    await asAcme(() => emitter.on('event', () => answers.push(ask())))
    emitter.emit('event')
    // For whom it was emitted: the listener of acme reads what globex may read, and nobody’s rows come to acme’s code by it.
    await asGlobex(() => emitter.emit('event'))
    expect(await Promise.all(answers)).toEqual([LOST, 'globex'])
  })

  test('bind, and bindEmitter for all listeners, also those of libraries and those that come later', async () => {
    const [one, all] = [new EventEmitter(), new EventEmitter()]
    const answers: Promise<string>[] = []
    const listen = (): void => void answers.push(ask())
    all.on('event', listen)
    await asAcme(() => {
      one.on('event', tenancy.bind(listen))
      expect(tenancy.bindEmitter(all)).toBe(all)
    })
    all.once('event', listen)
    for (const emit of [() => one.emit('event'), () => all.emit('event')]) {
      emit()
      await asGlobex(emit)
    }
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['acme']))
    expect(answers).toHaveLength(5)
    expect(() => tenancy.bindEmitter(new EventEmitter())).toThrow(expect.objectContaining({ code: LOST }))
  })

  test('events.on() and once(): the loop that awaits keeps its own', async () => {
    const emitter = new EventEmitter()
    const answer = asAcme(async () => {
      for await (const _ of on(emitter, 'event')) return ask()
      return 'ended'
    })
    const other = asAcme(async () => {
      await once(emitter, 'event')
      return ask()
    })
    await sleep(10)
    await asGlobex(() => emitter.emit('event'))
    expect(await Promise.all([answer, other])).toEqual(['acme', 'acme'])
  })
})

describe('A1: requests and streams', () => {
  test('parsers that listen to a request lose it; bindEmitter(req) keeps it', async () => {
    const app = express()
    app.use(tenantMiddleware(tenancy, { resolve: subdomain({ root: 'example.com' }) }))
    app.post('/:how', (req, res) => {
      if (req.params.how === 'bound') tenancy.bindEmitter(req)
      // As busboy, formidable and multer do it.
      let answer: Promise<string> | undefined
      req.on('data', () => void (answer = ask()))
      req.on('end', () => void answer?.then((text) => res.end(text)))
      res.flushHeaders()
    })
    const server = createServer(app).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const post = async (path: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const options = { port: portOf(server), host: '127.0.0.1', path, method: 'POST', agent: false }
        const sent = request({ ...options, headers: { host: 'acme.example.com' } }, (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
          response.on('end', () => resolve(text))
          // The rest comes when the handler has returned, from the socket.
          sent.end(' and half')
        })
        sent.on('error', reject).write('half')
      })
    expect(await post('/unbound')).toBe(LOST)
    expect(await post('/bound')).toBe('acme')
    server.close()
  })

  test('a stream that is written from elsewhere: its transform has the writer’s tenant, never a third', async () => {
    const answers: Promise<string>[] = []
    const stream = await asAcme(
      () =>
        new Transform({
          transform(chunk, _encoding, done) {
            answers.push(ask())
            done(null, chunk)
          },
        }),
    )
    stream.resume()
    stream.write('outside')
    await asGlobex(() => stream.write('globex'))
    expect(await Promise.all(answers)).toEqual([LOST, 'globex'])
  })

  test('reading with for await keeps the reader’s', async () => {
    const stream = new PassThrough()
    const answer = asAcme(async () => {
      for await (const _ of stream) return ask()
      return 'ended'
    })
    await asGlobex(() => stream.write('chunk'))
    expect(await answer).toBe('acme')
    expect(
      await asAcme(async () => Promise.all((await Readable.from([1, 2]).toArray()).map(() => ask()))),
    ).toEqual(['acme', 'acme'])
  })

  test('an async generator runs in the context of whoever asks for the next value', async () => {
    async function* owners(): AsyncGenerator<string> {
      for (;;) yield await ask()
    }
    const generator = await asAcme(() => owners())
    expect((await generator.next()).value).toBe(LOST)
    expect((await asGlobex(() => generator.next())).value).toBe('globex')
    expect((await asAcme(() => generator.next())).value).toBe('acme')
  })
})

describe('A1: timers, tasks and promises', () => {
  test('what was scheduled outside has none; what was scheduled inside keeps it', async () => {
    const outside: Promise<string>[] = []
    const inside: Promise<string>[] = []
    const schedule = (answers: Promise<string>[]): void => {
      const note = (): void => void answers.push(ask())
      setTimeout(note, 1)
      setImmediate(note)
      queueMicrotask(note)
      process.nextTick(note)
    }
    schedule(outside)
    await asAcme(() => schedule(inside))
    await sleep(30)
    expect([new Set(await Promise.all(outside)), new Set(await Promise.all(inside))]).toEqual([
      new Set([LOST]),
      new Set(['acme']),
    ])
    expect([outside.length, inside.length]).toEqual([4, 4])
  })

  test('an interval that is shared runs for whoever started it', async () => {
    let listeners: (() => void)[] = []
    const timer = setInterval(() => {
      for (const listener of listeners.splice(0)) listener()
    }, 1)
    const answer = await asAcme(
      () => new Promise<string>((resolve) => (listeners = [() => void ask().then(resolve)])),
    )
    clearInterval(timer)
    expect(answer).toBe(LOST)
  })

  test('a custom thenable is asked in the context of whoever awaits', async () => {
    const lazy: PromiseLike<string> = {
      // oxlint-disable-next-line unicorn/no-thenable -- as query builders are
      then: (resolve, reject) => ask().then(resolve, reject),
    }
    expect(await asAcme(async () => lazy)).toBe('acme')
    expect(await asGlobex(async () => lazy)).toBe('globex')
    expect(await lazy).toBe(LOST)
  })

  test('a promise of the module, made by the first caller: who awaits keeps its own, the work inside is the first’s', async () => {
    const seen: string[] = []
    let cached: Promise<string> | undefined
    const load = async (): Promise<string> => (cached ??= ask())
    const callers = [asAcme, asGlobex].map((as) =>
      as(async () => {
        seen.push(await load())
        return ask()
      }),
    )
    expect(await Promise.all(callers)).toEqual(['acme', 'globex'])
    // The trap: it is the cache that has no tenant, and no context can tell. tenancy.cacheKey() does.
    expect(seen).toEqual(['acme', 'acme'])
  })

  test('abort listeners run for whoever aborts', async () => {
    const controller = new AbortController()
    const answers: Promise<string>[] = []
    await asAcme(() => controller.signal.addEventListener('abort', () => answers.push(ask())))
    controller.abort()
    expect(await Promise.all(answers)).toEqual([LOST])
  })
})

describe('A1: pools, queues and batches of libraries', () => {
  test('a queue that runs its tasks from a loop of its own', async () => {
    const tasks: (() => Promise<void>)[] = []
    const queue = (task: () => Promise<string>): Promise<string> =>
      new Promise((resolve) => tasks.push(async () => resolve(await task())))
    const loop = (async () => {
      while (tasks.length < 2) await sleep(1)
      for (const task of tasks) await task()
    })()
    const answers = await Promise.all([asAcme(() => queue(ask)), asAcme(() => queue(tenancy.bind(ask)))])
    await loop
    expect(answers).toEqual([LOST, 'acme'])
  })

  test('a batch that several tenants fill is run for the first of them: never for one who did not ask', async () => {
    let batch: (() => void)[] | undefined
    const answers: string[] = []
    const batched = (): Promise<void> =>
      new Promise((resolve) => {
        if (batch !== undefined) return void batch.push(resolve)
        batch = [resolve]
        setImmediate(
          () => void ask().then((answer) => (answers.push(answer), batch?.forEach((done) => done()))),
        )
      })
    await Promise.all([asAcme(batched), asGlobex(batched)])
    // Why loaders are made for each tenant: tenantry/dataloader.
    expect(answers).toEqual(['acme'])
  })

  test('callbacks of a connection pool of somebody else’s, warm and waiting', async () => {
    const pool = new pg.Pool({ connectionString: world.db.appUrl, max: 1 })
    const callback = (): Promise<string> =>
      new Promise((resolve) => pool.query('select 1', () => void ask().then(resolve)))
    const answers = await Promise.all([callback(), asAcme(callback), asGlobex(callback), callback()])
    await pool.end()
    // Whether a driver carries the context through its queue is its own matter: a statement is right or refused.
    for (const [n, right] of ['', 'acme', 'globex', ''].entries()) expect([LOST, right]).toContain(answers[n])
    expect([answers[0], answers[3]]).toEqual([LOST, LOST])
  })

  test('native callbacks: an AsyncResource made outside has none, one made inside keeps it', async () => {
    const outside = new AsyncResource('Native')
    const answer = await asAcme(() => outside.runInAsyncScope(ask))
    const inside = await asAcme(() => new AsyncResource('Native'))
    expect([answer, await inside.runInAsyncScope(ask)]).toEqual([LOST, 'acme'])
  })
})

describe('A1: threads and ports', () => {
  test('a message is heard in the context of the port, not of the sender', async () => {
    const { port1, port2 } = new MessageChannel()
    const answer = new Promise<string>((resolve) => port2.on('message', () => void ask().then(resolve)))
    await asAcme(() => port1.postMessage('now'))
    expect(await answer).toBe(LOST)
    port1.close()
  })

  test('a thread has no tenant unless it is told one', async () => {
    const file = new URL('fixtures/tenant-worker.ts', import.meta.url)
    const inThread = async (tenantId?: string): Promise<unknown> => {
      const worker = new Worker(file, { workerData: { url: world.db.appUrl, tenantId } })
      const [answer] = (await once(worker, 'message')) as unknown[]
      await once(worker, 'exit')
      return answer
    }
    expect(await asAcme(() => Promise.all([inThread(), inThread(tenancy.requireTenant().id)]))).toEqual([
      LOST,
      'acme',
    ])
  })
})
