import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Death, patiently, runChild as runDyingChild } from './dying-child.ts'
import { createSampleControl, type SampleControl } from './sample-control.ts'

let sample: SampleControl
beforeAll(async () => {
  sample = await createSampleControl()
  // A row that the migration itself writes: each tenant gets it from the pattern, once.
  const file = join(sample.migrations, '1700000000001_orders.sql')
  const text = await readFile(file, 'utf8')
  await writeFile(
    file,
    text.replace('not null);', "not null);\ninsert into orders (customer) values ('template');"),
  )
})
afterAll(() => sample.close())

const runChild = (death: Death): ReturnType<typeof runDyingChild> =>
  runDyingChild(sample, { model: 'shared', ...death })

interface Left {
  readonly id: string
  readonly status: string
}

async function whatIsThere(key: string): Promise<Left | undefined> {
  const [row] = await sample.database.sql<{ id: string; status: string }>(
    `select t.id, t.status from tenantry.tenants t join tenantry.keys k on k.tenant_id = t.id where k.key = $1`,
    [key],
  )
  return row
}

async function rowsOf(id: string): Promise<unknown[]> {
  const rows = await sample.database.sql<{ customer: string }>(
    'select customer from tenant_shared.orders where tenant_id = $1 order by id',
    [id],
  )
  return rows.map(({ customer }) => customer)
}

/** The place is whole: made once, with every migration once, and all of it in its form. */
async function checkPlace(): Promise<void> {
  const { database } = sample
  expect(await database.sql('select schema_name from tenantry.shared_homes')).toEqual([
    { schema_name: 'tenant_shared' },
  ])
  expect(
    await database.sql("select nspname from pg_namespace where nspname like 'tenant\\_shared%' order by 1"),
  ).toEqual([{ nspname: 'tenant_shared' }, { nspname: 'tenant_shared_pattern' }])
  expect(await database.sql('select name from tenant_shared_pattern.pgmigrations')).toHaveLength(1)
  expect(
    await database.sql(
      `select relrowsecurity and relforcerowsecurity as walled, (select count(*)::int from pg_policy where polrelid = c.oid) as policies
       from pg_class c where oid = 'tenant_shared.orders'::regclass`,
    ),
  ).toEqual([{ walled: true, policies: 2 }])
}

/** Sees to it that what a killed creation left is not served, then completes it and looks at all of it. */
async function completeAndCheck(key: string): Promise<void> {
  const { control, database } = sample
  const before = await whatIsThere(key)
  if (before?.status !== 'active') {
    expect(before?.status ?? 'provisioning').toBe('provisioning')
    const made = await patiently(() => control.tenants.create({ key, model: 'shared' }))
    if (before !== undefined) expect(made.id).toBe(before.id)
  }
  const { id, status } = await control.tenants.get(key)
  expect(status).toBe('active')
  expect(await rowsOf(id)).toEqual(['template', 'first', 'second'])
  await checkPlace()
  expect(
    await database.sql('select state, steps from tenantry.operations where tenant_id = $1', [id]),
  ).toEqual([{ state: 'done', steps: ['reserve', 'home', 'migrate', 'seed', 'activate'] }])
}

/** The next creation makes roles and the shared tables. */
async function dropPlace(): Promise<void> {
  const { control, database } = sample
  for (const { key } of await control.tenants.list({ limit: 1_000 })) {
    await patiently(() => control.tenants.delete(key, { confirm: key }))
  }
  await database.sql(
    `drop schema if exists tenant_shared, tenant_shared_pattern cascade;
     delete from tenantry.shared_homes; delete from tenantry.role_pool;
     delete from tenantry.migration_heads; delete from tenantry.migration_history`,
  )
}

test(
  'V1: the process is killed at every statement of making the first tenant that shares tables',
  { timeout: 300_000 },
  async () => {
    // What the database is told once and for all is not told again.
    await runChild({ action: 'create', key: 'before' })
    await dropPlace()
    const whole = await runChild({ action: 'create', key: 'whole-first' })
    expect(whole.statements).toBeGreaterThan(60)
    // Each death costs a process, and its tables are made again: a sample of them, at another place each time.
    for (let statement = 1; statement <= whole.statements; statement += 3) {
      await dropPlace()
      const key = `f-${statement}`
      const moment = statement % 2 === 0 ? 'sent' : 'answered'
      expect((await runChild({ action: 'create', key, statement, moment })).killed).toBe(true)
      await completeAndCheck(key)
    }
  },
)

test(
  'V1: the process is killed at every statement of making one more tenant in shared tables',
  { timeout: 300_000 },
  async () => {
    const { control } = sample
    const neighbour = await control.tenants.create({ key: 'neighbour', model: 'shared' })
    const whole = await runChild({ action: 'create', key: 'whole-next' })
    expect(whole.statements).toBeGreaterThan(20)
    for (let statement = 1; statement <= whole.statements; statement += 1) {
      const key = `n-${statement}`
      expect((await runChild({ action: 'create', key, statement })).killed).toBe(true)
      await completeAndCheck(key)
    }
    expect(await rowsOf(neighbour.id)).toEqual(['template', 'first', 'second'])
  },
)

test(
  'V1: the process is killed at every statement of erasing a tenant from shared tables, and a second call leaves nothing',
  { timeout: 300_000 },
  async () => {
    const { control, database } = sample
    const neighbour = await control.tenants.create({ key: 'stays', model: 'shared' })
    await control.tenants.create({ key: 'erase-whole', model: 'shared' })
    const whole = await runChild({ action: 'delete', key: 'erase-whole' })
    expect(whole.statements).toBeGreaterThan(15)
    for (let statement = 1; statement <= whole.statements; statement++) {
      const key = `e-${statement}`
      const { id } = await control.tenants.create({ key, model: 'shared' })
      expect((await runChild({ action: 'delete', key, statement })).killed).toBe(true)
      const left = await whatIsThere(key)
      if (left !== undefined) {
        // Whole and served, or archived: never in between.
        expect(['active', 'archived']).toContain(left.status)
        if (left.status === 'active') expect(await rowsOf(id)).toHaveLength(3)
        await patiently(() => control.tenants.delete(key, { confirm: key }))
      }
      expect(await rowsOf(id)).toEqual([])
      const tombstones = await database.sql(
        `select status, num_nonnulls(name, plan, settings, model, tier, schema_name, role_name, owner_role, key_id, epoch) as told,
           (select count(*)::int from tenantry.keys where tenant_id = t.id) as keys,
           (select count(*)::int from tenantry.operations where tenant_id = t.id) as operations
         from tenantry.tenants t where id = $1`,
        [id],
      )
      expect(tombstones).toEqual([{ status: 'erased', told: 0, keys: 0, operations: 0 }])
    }
    expect(await rowsOf(neighbour.id)).toEqual(['template', 'first', 'second'])
    await checkPlace()
  },
)
