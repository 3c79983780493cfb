import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

let world: TenantWorld
let tenancy: Tenancy
beforeAll(async () => {
  world = await createTenantWorld('acme')
  tenancy = world.open({ max: 4 })
  await tenancy.poolFor('acme').query("update orders set note = '0'")
})
afterAll(() => world.close())

const READ = 'select note::int as n from orders where id = 1'

/** Both read before either writes, so that one of two must fail as serializable. */
async function incrementTwice(retry: number): Promise<PromiseSettledResult<void>[]> {
  let reading = 0
  const bothRead = Promise.withResolvers<void>()
  const increment = (): Promise<void> =>
    tenancy.transaction(
      async (client) => {
        const [row] = (await client.query<{ n: number }>(READ)).rows
        reading += 1
        if (reading === 2) bothRead.resolve()
        await bothRead.promise
        await client.query('update orders set note = $1 where id = 1', [String((row?.n ?? 0) + 1)])
      },
      { isolation: 'serializable', retry },
    )
  return tenancy.run('acme', () => Promise.allSettled([increment(), increment()]))
}

describe('transaction({ retry })', () => {
  test('a serialization failure runs again; without retry one of the two fails', async () => {
    const [before] = (await tenancy.poolFor('acme').query<{ n: number }>(READ)).rows
    const without = await incrementTwice(0)
    const failed = without.filter((result) => result.status === 'rejected')
    expect(failed.map(({ reason }: { reason: unknown }) => (reason as { code: string }).code)).toEqual([
      '40001',
    ])
    const withRetry = await incrementTwice(5)
    expect(withRetry.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
    const [after] = (await tenancy.poolFor('acme').query<{ n: number }>(READ)).rows
    expect(after?.n).toBe((before?.n ?? 0) + 3)
  })

  test('a deadlock runs again', async () => {
    let turns = 0
    const locked = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const lockBoth = (first: number, second: number): Promise<void> =>
      tenancy.transaction(
        async (client) => {
          turns += 1
          await client.query('select 1 from orders where id = $1 for update', [first])
          locked[first - 2]?.resolve()
          await locked[second - 2]?.promise
          await client.query('select 1 from orders where id = $1 for update', [second])
        },
        { retry: 3 },
      )
    await tenancy.run('acme', () => Promise.all([lockBoth(2, 3), lockBoth(3, 2)]))
    expect(turns).toBe(3)
  })

  test('a plan that a migration outdated runs again', async () => {
    const { schema } = world.tenants['acme']?.home ?? { schema: '' }
    const pool = world.open({ max: 1 })
    const all = (): Promise<number> =>
      pool.run('acme', () =>
        pool.transaction(
          async (client) => {
            await client.query('select 1')
            return (await client.query('select * from orders')).fields.length
          },
          { retry: 1 },
        ),
      )
    for (let n = 0; n < 3; n += 1) expect(await all()).toBe(3)
    await world.db.sql(`alter table ${schema}.orders add column extra int`)
    expect(await all()).toBe(4)
    await world.db.sql(`alter table ${schema}.orders drop column extra`)
  })

  test('other errors do not run again, and the tries are bounded', async () => {
    let turns = 0
    const failing = (text: string): Promise<void> =>
      tenancy.run('acme', () =>
        tenancy.transaction(
          async (client) => {
            turns += 1
            await client.query(text)
          },
          { retry: 2 },
        ),
      )
    await expect(failing('select 1 / 0')).rejects.toMatchObject({ code: '22012' })
    expect(turns).toBe(1)
    const { schema, role } = world.tenants['acme']?.home ?? { schema: '', role: '' }
    await world.db.sql(`create function ${schema}.never() returns int language plpgsql as
      $$ begin raise exception using errcode = '40001'; end $$`)
    await world.db.sql(`grant execute on all functions in schema ${schema} to ${role}`)
    turns = 0
    await expect(failing('select never()')).rejects.toMatchObject({ code: '40001' })
    expect(turns).toBe(3)
    for (const retry of [-1, 1.5, 101]) {
      const wrong = tenancy.run('acme', () => tenancy.transaction(() => Promise.resolve(1), { retry }))
      await expect(wrong).rejects.toThrow(TypeError)
    }
    expect(tenancy.pool.idleCount).toBe(tenancy.pool.totalCount)
  })
})

describe('session()', () => {
  test('its statements and transactions stay on one backend, each with its context', async () => {
    const pids = await tenancy.run('acme', () =>
      tenancy.session(async (client) => {
        const seen: unknown[] = []
        const look = async (): Promise<void> => {
          const { rows } = await client.query(
            'select pg_backend_pid() as pid, (select distinct owner from orders) as owner',
          )
          seen.push(...rows)
        }
        await look()
        // Others may use every connection but this one.
        await Promise.all(Array.from({ length: 20 }, () => tenancy.pool.query('select pg_sleep(0.01)')))
        for (const text of ['begin', 'commit', 'begin', 'rollback']) {
          await client.query(text)
          await look()
        }
        return seen
      }),
    )
    expect(pids).toHaveLength(5)
    expect(new Set(pids.map((row) => JSON.stringify(row))).size).toBe(1)
    expect(tenancy.pool.idleCount).toBe(tenancy.pool.totalCount)
  })

  test('is no session of PostgreSQL’s for what the guard refuses', async () => {
    await tenancy.run('acme', () =>
      tenancy.session(async (client) => {
        for (const text of ["set timezone = 'UTC'", 'select pg_advisory_lock(1)', 'prepare p as select 1']) {
          await expect(client.query(text), text).rejects.toMatchObject({ code: 'TNY204' })
        }
      }),
    )
  })

  test('P3: what is left open is rolled back before it ends, also where the function throws', async () => {
    const failing = tenancy.run('acme', () =>
      tenancy.session(async (client) => {
        await client.query('begin')
        await client.query('delete from orders')
        throw new Error('no')
      }),
    )
    await expect(failing).rejects.toThrow('no')
    expect(tenancy.pool.idleCount).toBe(tenancy.pool.totalCount)
    expect((await tenancy.poolFor('acme').query('select id from orders')).rowCount).toBe(3)
  })

  test('once its connection is lost it does not go on with another', async () => {
    await tenancy.run('acme', () =>
      tenancy.session(async (client) => {
        const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
        await world.db.sql('select pg_terminate_backend($1)', [rows[0]?.pid])
        for (let n = 0; n < 2; n += 1) {
          await expect(client.query('select 1')).rejects.toMatchObject({ code: 'TNY212' })
        }
      }),
    )
    expect((await tenancy.poolFor('acme').query('select 1 as n')).rows).toEqual([{ n: 1 }])
  })

  test('A1: without a tenant it throws; behind a pooler it is refused', async () => {
    await expect(tenancy.session(() => Promise.resolve(1))).rejects.toMatchObject({ code: 'TNY201' })
    const pooled = world.open({ pooler: 'pgbouncer' })
    const refused = pooled.run('acme', () => pooled.session(() => Promise.resolve(1)))
    await expect(refused).rejects.toMatchObject({ code: 'TNY210' })
  })
})
