import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sql, type Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

interface Order {
  id: string
  owner: string
  note: string | null
}

let world: TenantWorld
let tenancy: Tenancy
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open({ max: 3 })
})
afterAll(() => world.close())

const inAcme = <T>(fn: () => PromiseLike<T>): Promise<T> => tenancy.run('acme', fn)

test('rows of the context’s tenant; TNY201 where there is none', async () => {
  const owners = () => tenancy.sql<Pick<Order, 'owner'>>`select distinct owner from orders`
  expect(await inAcme(owners)).toEqual([{ owner: 'acme' }])
  expect(await tenancy.run('globex', owners)).toEqual([{ owner: 'globex' }])
  await expect(owners()).rejects.toMatchObject({ code: 'TNY201' })
  expect(await tenancy.poolFor('globex').sql`select distinct owner from orders`).toEqual([
    { owner: 'globex' },
  ])
})

test('first, one, execute; a statement runs once, and not at all where it is a part', async () => {
  await inAcme(async () => {
    const none = tenancy.sql<Order>`select * from orders where owner = ${'nobody'}`
    expect(await none.first()).toBeUndefined()
    await expect(none.one()).rejects.toMatchObject({ code: 'TNY236' })
    await expect(tenancy.sql`select * from orders`.one()).rejects.toMatchObject({ code: 'TNY236' })
    const adding = tenancy.sql<Order>`insert into orders (owner, note) values (${'acme'}, ${'once'}) returning *`
    const [{ id }, [again], { rowCount }] = await Promise.all([adding.one(), adding, adding.execute()])
    expect([again?.id, rowCount]).toEqual([id, 1])
    const removing = tenancy.sql`delete from orders where note = ${'once'}`
    const kept = await tenancy.sql<{
      n: number
    }>`with gone as (${removing} returning 1) select count(*)::int as n from gone`.one()
    expect(kept).toEqual({ n: 1 })
    await expect(
      tenancy.sql`select 1 / ${0}::int`.catch((error: unknown) => Promise.reject(error as Error)),
    ).rejects.toMatchObject({ code: '22012' })
  })
})

test('A4: a statement that ran for one tenant is refused in the context of another, which would get its rows', async () => {
  const kept = tenancy.sql<Pick<Order, 'owner'>>`select distinct owner from orders`
  expect(await inAcme(() => kept)).toEqual([{ owner: 'acme' }])
  await expect(tenancy.run('globex', () => kept)).rejects.toMatchObject({ code: 'TNY234' })
  // In its own, and in none, as every promise.
  expect(await inAcme(() => kept)).toEqual([{ owner: 'acme' }])
  expect(await kept).toEqual([{ owner: 'acme' }])
  // Named, it is not asked.
  const named = tenancy.poolFor('acme').sql<Pick<Order, 'owner'>>`select distinct owner from orders`
  expect(await tenancy.run('globex', () => named)).toEqual([{ owner: 'acme' }])
  // The tables that all share have policies by the tenant, too.
  const shared = tenancy.shared.sql`select current_setting('app.current_tenant') as id`
  await inAcme(() => shared)
  await expect(tenancy.run('globex', () => shared)).rejects.toMatchObject({ code: 'TNY234' })
  const client = await inAcme(() => tenancy.shared.connect())
  await expect(tenancy.run('globex', () => client.query('select 1'))).rejects.toMatchObject({
    code: 'TNY234',
  })
  client.release()
})

test('in a transaction: joined from the context, by the client, and as a query of any client', async () => {
  const add = sql`insert into orders (owner, note) values ('acme', ${'in'})`
  const failing = inAcme(() =>
    tenancy.transaction(async (client) => {
      await tenancy.sql`${add}`
      await client.sql`${add}`
      await client.query(add)
      const { n } = await client.sql<{
        n: number
      }>`select count(*)::int as n from orders where note = ${'in'}`.one()
      throw new Error(`undo ${n}`)
    }),
  )
  await expect(failing).rejects.toThrow('undo 3')
  expect(await inAcme(() => tenancy.sql`select 1 from orders where note = ${'in'}`)).toEqual([])
})

test('arrays, lists, json, dates, null', async () => {
  await inAcme(async () => {
    const at = new Date('2026-01-02T03:04:05.678Z')
    const row =
      await tenancy.sql`select ${[1, 2]}::int[] as ids, ${{ a: [1] }}::jsonb as doc, ${at}::timestamptz as at,
      ${null}::text as nothing, ${9_007_199_254_740_993n}::int8 as big, ${Buffer.from([0, 255])}::bytea as bytes`.one()
    expect(row).toEqual({
      ids: [1, 2],
      doc: { a: [1] },
      at,
      nothing: null,
      big: '9007199254740993',
      bytes: Buffer.from([0, 255]),
    })
    for (const ids of [[1, 2], []]) {
      const found = await tenancy.sql<{
        id: number
      }>`select id from generate_series(1, 3) id where id = any(${ids})`
      expect(found.map(({ id }) => id)).toEqual(ids)
    }
    expect(
      await tenancy.sql`select id from generate_series(1, 3) id where id in ${sql.list([2, 3])}`,
    ).toHaveLength(2)
  })
})

test('S6, S4: the guard judges templates too', async () => {
  await expect(inAcme(() => tenancy.sql`reset role`)).rejects.toMatchObject({ code: 'TNY204' })
  await expect(inAcme(() => tenancy.sql`select 1; select 2`)).rejects.toMatchObject({ code: 'TNY204' })
})

describe('injection', () => {
  const ATTACK = "x' or owner <> '"
  /** Quotes, comments, placeholders and escapes far more often than chance would bring them. */
  const hostile = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          "'",
          "''",
          '"',
          '\\',
          "E'",
          '$1',
          '$$',
          ';',
          '--',
          '/*',
          '*/',
          ' or true',
          '\n',
          ')',
          '${',
          '%',
          '_',
        ),
        fc.string({ unit: 'grapheme', maxLength: 6 }),
      ),
      { maxLength: 8 },
    )
    .map((parts) => parts.join('').replaceAll('\0', ''))

  test('the unsafe control: the same text, put together by hand, reads every row', async () => {
    const { rows } = await tenancy.poolFor('acme').query(`select * from orders where owner = '${ATTACK}'`)
    expect(rows).toHaveLength(3)
    expect(await inAcme(() => tenancy.sql`select * from orders where owner = ${ATTACK}`)).toEqual([])
  })

  test('values and names come back as they went in, wherever they stand', async () => {
    const name = hostile.filter((text) => text !== '' && Buffer.byteLength(text) <= 63)
    await fc.assert(
      fc.asyncProperty(fc.array(hostile, { minLength: 1, maxLength: 5 }), name, async (texts, column) => {
        const parts = texts.map((text) => sql`select ${text}::text as it`)
        const row = await inAcme(() =>
          tenancy.sql<{
            its: string[]
          }>`select array_agg(it) as its, ${column}::text as ${sql.ident(column === 'its' ? 'x' : column)}
            from (${sql.join(parts, sql` union all `)}) _ where it = any(${texts}) and it not in ${sql.list([`${texts.join('')}+`])}`.one(),
        )
        expect(row.its.toSorted()).toEqual(texts.toSorted())
        expect((row as Record<string, unknown>)[column === 'its' ? 'x' : column]).toBe(column)
      }),
      { numRuns: 300 },
    )
    expect(await inAcme(() => tenancy.sql`select from orders`)).toHaveLength(3)
  })
})
