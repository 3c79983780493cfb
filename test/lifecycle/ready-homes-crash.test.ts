import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Death, patiently, runChild as runDyingChild } from './dying-child.ts'
import { createSampleControl, customersIn, type SampleControl } from './sample-control.ts'
import { waitFor } from '../support/wait-for.ts'

let sample: SampleControl

beforeAll(async () => {
  sample = await createSampleControl()
})
afterAll(() => sample.close())
beforeEach(() => drainAll())

const runChild = (death: Omit<Death, 'key'> & { key?: string }): ReturnType<typeof runDyingChild> =>
  runDyingChild(sample, { key: 'unused', ...death })

/** A dead process' lock is free once the server has noticed. */
async function drainAll(): Promise<void> {
  await waitFor(async () => {
    await sample.control.pool.drain()
    return (await sample.control.pool.status()).homes.length === 0
  })
}

/** Without free roles a fill also makes a batch of them. */
async function emptyBoth(): Promise<void> {
  await drainAll()
  await sample.database.sql('delete from tenantry.role_pool')
}

async function fillTo(size: number): Promise<void> {
  await waitFor(async () => {
    expect(await sample.control.pool.fill({ size })).toMatchObject({ failed: [] })
    const { ready, homes } = await sample.control.pool.status()
    return ready === size && homes.length === size
  })
}

/** Schemas and roles that neither a tenant has nor a pool knows. */
async function orphans(): Promise<unknown[]> {
  return sample.database.sql(`
    select nspname as name from pg_namespace where nspname like 't\\_%'
      and nspname not in (select schema_name from tenantry.ready_homes
        union select schema_name from tenantry.tenants where schema_name is not null)
    union all
    select r.rolname from pg_roles r where r.rolname like 'tny\\_%' and pg_has_role('tenantry_admin', r.oid, 'member')
      and exists (select from pg_shdepend d where d.refobjid = r.oid
        and d.dbid = (select oid from pg_database where datname = current_database()))
      and r.rolname not in (select unnest(array[role_name, owner_role]) from tenantry.ready_homes
        union select unnest(array[role_name, owner_role]) from tenantry.tenants where role_name is not null)`)
}

test(
  'V1: a fill is killed at every turn; the next finds what it left, and fills no more than was asked for',
  { timeout: 120_000 },
  async () => {
    // The first roles of a server make one statement more.
    await fillTo(1)
    await emptyBoth()
    const { statements, turns } = await runChild({ action: 'fill', size: 1 })
    expect(turns.length).toBeGreaterThan(8)
    for (const statement of new Set([1, ...turns, statements])) {
      await emptyBoth()
      expect((await runChild({ action: 'fill', size: 1, statement })).killed).toBe(true)
      expect(await orphans()).toEqual([])
      await fillTo(2)
      expect(await orphans()).toEqual([])
    }
    const { home } = await sample.control.tenants.create({ key: 'after-fill' })
    expect(home.schema).toMatch(/^t_/)
    expect(await customersIn(sample.database, home.schema)).toEqual(['first', 'second'])
  },
)

test('V1: a drain is killed at every turn; the next leaves nothing', { timeout: 120_000 }, async () => {
  await fillTo(2)
  const { statements, turns } = await runChild({ action: 'drain' })
  for (const statement of new Set([1, ...turns, statements])) {
    await fillTo(2)
    expect((await runChild({ action: 'drain', statement })).killed).toBe(true)
    expect(await orphans()).toEqual([])
    await drainAll()
    expect(await orphans()).toEqual([])
  }
})

test.for([
  { moment: 'answered', every: 1 },
  { moment: 'sent', every: 3 },
] as const)(
  'V1: a sign-up from the pool is killed at every statement ($moment, one in $every): it is whole, or it never was',
  { timeout: 120_000 },
  async ({ moment, every }) => {
    await fillTo(1)
    const whole = await runChild({ action: 'create', key: `pool-whole-${moment}` })
    expect((await sample.control.tenants.get(`pool-whole-${moment}`)).home.schema).toMatch(/^t_/)
    for (let statement = 1; statement <= whole.statements; statement += every) {
      await fillTo(1)
      const key = `p-${moment}-${statement}`
      expect((await runChild({ action: 'create', key, statement, moment })).killed).toBe(true)
      // Nothing was committed: the home is back in the pool, and the key is free.
      await waitFor(async () => (await sample.control.pool.status()).ready === 1)
      await expect(sample.control.tenants.get(key)).rejects.toMatchObject({ code: 'TNY302' })
      expect(await sample.control.operations.unfinished()).toEqual([])
      const { home } = await patiently(() => sample.control.tenants.create({ key }))
      expect(home.schema).toMatch(/^t_/)
      expect(await customersIn(sample.database, home.schema)).toEqual(['first', 'second'])
    }
  },
)

test('V1: killed right after its commit, a sign-up from the pool is whole', async () => {
  await fillTo(1)
  expect((await runChild({ action: 'create', key: 'committed', step: 'reserve' })).killed).toBe(true)
  const { home, status } = await sample.control.tenants.get('committed')
  expect(status).toBe('active')
  expect(await customersIn(sample.database, home.schema)).toEqual(['first', 'second'])
  expect((await sample.control.pool.status()).homes).toEqual([])
})
