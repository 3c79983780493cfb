import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Death, patiently, runChild as runDyingChild } from './dying-child.ts'
import { residueOf, tracesOf } from './residue.ts'
import { createSampleControl, type SampleControl } from './sample-control.ts'

/** Databases belong to the whole server, so that the keys of this file are nobody else's. */
const suffix = randomBytes(4).toString('hex')

let sample: SampleControl
beforeAll(async () => {
  sample = await createSampleControl()
})
// Each death leaves a database, which is dropped only now.
afterAll(() => sample.close(), 120_000)

const runChild = (death: Death): ReturnType<typeof runDyingChild> =>
  runDyingChild(sample, { model: 'database', ...death })

interface Left {
  readonly id: string
  readonly status: string
  readonly name: string
}

async function whatIsThere(key: string): Promise<Left | undefined> {
  const [row] = await sample.database.sql<{ id: string; status: string; name: string }>(
    `select t.id, t.status, t.database_name as name from tenantry.tenants t
     join tenantry.keys k on k.tenant_id = t.id where k.key = $1`,
    [key],
  )
  return row
}

/** As the superuser, in a tenant's database. */
async function inside<R extends pg.QueryResultRow>(name: string, text: string): Promise<R[]> {
  const url = Object.assign(new URL(sample.database.superuserUrl), { pathname: `/${name}` })
  const client = new pg.Client(url.href)
  await client.connect()
  try {
    return (await client.query<R>(text)).rows
  } finally {
    await client.end()
  }
}

async function databasesOf(key: string): Promise<string[]> {
  const rows = await sample.database.sql<{ name: string }>(
    'select datname as name from pg_database where datname like $1',
    [`tenant\\_${key.replaceAll('-', '\\_')}%`],
  )
  return rows.map(({ name }) => name)
}

/** Completes what a killed creation left, and looks that nothing is there twice, or in a second place. */
async function completeAndCheck(key: string): Promise<void> {
  const { control, database } = sample
  const before = await whatIsThere(key)
  if (before?.status !== 'active') {
    expect(before?.status ?? 'provisioning').toBe('provisioning')
    const made = await patiently(() => control.tenants.create({ key, model: 'database' }))
    if (before !== undefined) expect([made.id, made.home.database]).toEqual([before.id, before.name])
  }
  const { id, home, status } = await control.tenants.get(key)
  expect(status).toBe('active')
  const name = home.database ?? ''
  expect(await databasesOf(key)).toEqual([`tenant_${key.replaceAll('-', '_')}`])
  expect(await inside(name, 'select customer from tenant.orders order by id')).toEqual([
    { customer: 'first' },
    { customer: 'second' },
  ])
  expect(await inside(name, 'select name from tenant.pgmigrations')).toHaveLength(1)
  expect(
    await database.sql(
      `select datallowconn, datconnlimit, has_database_privilege('public', datname, 'connect') as anybody, o.state, o.steps
       from pg_database, tenantry.operations o where datname = $1 and o.tenant_id = $2`,
      [name, id],
    ),
  ).toEqual([
    {
      datallowconn: true,
      datconnlimit: -1,
      anybody: false,
      state: 'done',
      steps: ['reserve', 'home', 'migrate', 'seed', 'activate'],
    },
  ])
}

/** The next creation makes the template. */
async function dropTemplate(): Promise<void> {
  const templates = await sample.database.sql<{ name: string }>(
    `select datname as name from pg_database
     where shobj_description(oid, 'pg_database') like 'tenantry: template % in ' || $1`,
    [sample.database.name],
  )
  for (const { name } of templates) {
    await sample.database.sql(`alter database ${name} is_template false`)
    await sample.database.sql(`drop database ${name}`)
  }
}

test.for(['answered', 'sent'] as const)(
  'V1: the process is killed at every turn of making a tenant’s database (%s)',
  { timeout: 600_000 },
  async (moment) => {
    await sample.control.tenants.create({ key: `before-${moment}-${suffix}`, model: 'database' })
    const { statements, turns } = await runChild({ action: 'create', key: `whole-${moment}-${suffix}` })
    expect(statements).toBeGreaterThan(40)
    expect(turns.length).toBeGreaterThan(12)
    for (const statement of new Set([1, ...turns, statements])) {
      const key = `k-${moment}-${statement}-${suffix}`
      const death = await runChild({ action: 'create', key, statement, moment })
      // Where the pool of roles had some left, there is less to be done.
      if (!death.killed) expect(death.statements).toBeLessThan(statement)
      await completeAndCheck(key)
    }
  },
)

test(
  'V1: the process is killed at every turn of making the template, which the next one makes anew',
  { timeout: 600_000 },
  async () => {
    await sample.control.tenants.create({ key: `roles-${suffix}`, model: 'database' })
    await dropTemplate()
    const { turns } = await runChild({ action: 'create', key: `whole-template-${suffix}` })
    const deaths: number[] = []
    for (const statement of new Set([1, ...turns])) {
      await dropTemplate()
      const key = `t-${statement}-${suffix}`
      expect((await runChild({ action: 'create', key, statement })).killed).toBe(true)
      const isReserved = (await whatIsThere(key)) !== undefined
      await completeAndCheck(key)
      // The template comes before anything is known of the tenant; what comes after that is killed above.
      if (isReserved) break
      deaths.push(statement)
    }
    expect(deaths.length).toBeGreaterThan(5)
  },
)

test(
  'V1: the process is killed at every turn of erasing a tenant’s database, and a second call leaves nothing',
  { timeout: 600_000 },
  async () => {
    const { control, database } = sample
    await control.tenants.create({ key: `erase-${suffix}`, model: 'database' })
    const { statements, turns } = await runChild({ action: 'delete', key: `erase-${suffix}` })
    expect(statements).toBeGreaterThan(20)
    expect(turns.length).toBeGreaterThan(5)
    for (const statement of new Set([1, ...turns, statements])) {
      const key = `e-${statement}-${suffix}`
      const tenant = await control.tenants.create({ key, model: 'database' })
      const traces = await tracesOf(database, tenant)
      expect((await runChild({ action: 'delete', key, statement })).killed).toBe(true)
      const left = await whatIsThere(key)
      if (left !== undefined) {
        expect(['active', 'archived']).toContain(left.status)
        await patiently(() => control.tenants.delete(key, { confirm: key }))
      }
      expect(await residueOf(database, traces)).toEqual([])
    }
  },
)
