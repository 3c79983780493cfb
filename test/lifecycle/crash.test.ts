import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Death, patiently, runChild as runDyingChild } from './dying-child.ts'
import { residueOf, tracesOf } from './residue.ts'
import { createSampleControl, customersIn, type SampleControl } from './sample-control.ts'

let sample: SampleControl

beforeAll(async () => {
  sample = await createSampleControl()
})
afterAll(() => sample.close())

const runChild = (death: Death): ReturnType<typeof runDyingChild> => runDyingChild(sample, death)

async function whatIsThere(key: string): Promise<{ id: string; status: string; schema: string } | undefined> {
  const rows = await sample.database.sql<{ id: string; status: string; schema: string }>(
    `select t.id, t.status, t.schema_name as schema from tenantry.tenants t
     join tenantry.keys k on k.tenant_id = t.id where k.key = $1`,
    [key],
  )
  return rows[0]
}

/** Sees to it that what a killed creation left is not served, then completes it and looks at all of it. */
async function completeAndCheck(key: string): Promise<void> {
  const { control, database } = sample
  const before = await whatIsThere(key)
  const unfinished = (await control.operations.unfinished()).filter(({ tenantKey }) => tenantKey === key)
  if (before?.status === 'active') {
    // It died after the last commit: then it must be whole.
    expect(unfinished).toEqual([])
    await expect(patiently(() => control.tenants.create({ key }))).rejects.toMatchObject({ code: 'TNY301' })
  } else {
    expect(before?.status ?? 'provisioning').toBe('provisioning')
    expect(unfinished).toHaveLength(before === undefined ? 0 : 1)
    const made = await patiently(() => control.tenants.create({ key }))
    expect(made.status).toBe('active')
    if (before !== undefined) expect([made.id, made.home.schema]).toEqual([before.id, before.schema])
  }
  const { home, id } = await control.tenants.get(key)
  expect(await customersIn(database, home.schema)).toEqual(['first', 'second'])
  const schemas = await database.sql('select nspname from pg_namespace where nspname like $1', [
    `tenant\\_${key.replaceAll('-', '\\_')}%`,
  ])
  expect(schemas).toEqual([{ nspname: `tenant_${key.replaceAll('-', '_')}` }])
  expect(await database.sql(`select name from "${home.schema}".pgmigrations`)).toHaveLength(1)
  expect(
    await database.sql('select kind, state, steps from tenantry.operations where tenant_id = $1', [id]),
  ).toEqual([{ kind: 'create', state: 'done', steps: ['reserve', 'home', 'migrate', 'seed', 'activate'] }])
}

test.for(['reserve', 'home', 'migrate', 'seed', 'activate'])(
  'V1: the process is killed after the step %s of a creation, which a second call completes',
  async (step) => {
    const key = `step-${step}`
    expect((await runChild({ action: 'create', key, step })).killed).toBe(true)
    expect((await whatIsThere(key))?.status).toBe(step === 'activate' ? 'active' : 'provisioning')
    await completeAndCheck(key)
  },
)

test.for([
  { moment: 'answered', every: 1 },
  // The rarer case, and each death costs a process: a sample of it.
  { moment: 'sent', every: 4 },
] as const)(
  'V1: the process is killed at every statement of a creation ($moment, one in $every)',
  { timeout: 240_000 },
  async ({ moment, every }) => {
    const whole = await emptyPoolAnd(() => runChild({ action: 'create', key: `whole-${moment}` }))
    expect(whole.statements).toBeGreaterThan(20)
    for (let statement = 1; statement <= whole.statements; statement += every) {
      const key = `k-${moment}-${statement}`
      const death = await emptyPoolAnd(() => runChild({ action: 'create', key, statement, moment }))
      // What an earlier one told the database once and for all is not told again.
      if (!death.killed) expect(death.statements).toBeLessThan(statement)
      await completeAndCheck(key)
    }
  },
)

test(
  'V1: the process is killed at every single statement of an erasure, and a second call leaves nothing',
  { timeout: 240_000 },
  async () => {
    const { control, database } = sample
    await control.tenants.create({ key: 'erase-whole' })
    const whole = await runChild({ action: 'delete', key: 'erase-whole' })
    expect(whole.statements).toBeGreaterThan(15)
    for (let statement = 1; statement <= whole.statements; statement++) {
      const key = `e-${statement}`
      const traces = await tracesOf(database, await control.tenants.create({ key }))
      expect((await runChild({ action: 'delete', key, statement })).killed).toBe(true)
      const left = await whatIsThere(key)
      if (left !== undefined) {
        // Whole and served, or archived: never in between.
        expect(['active', 'archived']).toContain(left.status)
        if (left.status === 'active') expect(await customersIn(database, left.schema)).toHaveLength(2)
        await patiently(() => control.tenants.delete(key, { confirm: key }))
      }
      expect(await residueOf(database, traces)).toEqual([])
    }
  },
)

test('V1: two processes that create one key: one works, the other says so', async () => {
  const { control } = sample
  let entered = (): void => undefined
  let leave = (): void => undefined
  const inside = new Promise<void>((resolve) => (entered = resolve))
  const gate = new Promise<void>((resolve) => (leave = resolve))
  const first = control.tenants.create({
    key: 'raced',
    seed: async (db) => {
      entered()
      await gate
      await db.query("insert into orders (customer) values ('only once')")
    },
  })
  await inside
  await expect(control.tenants.create({ key: 'raced' })).rejects.toMatchObject({ code: 'TNY305' })
  await expect(control.tenants.delete('raced', { confirm: 'raced' })).rejects.toMatchObject({
    code: 'TNY305',
  })
  leave()
  const { home } = await first
  expect(await customersIn(sample.database, home.schema)).toEqual(['only once'])
})

/** Without free roles a creation also makes a batch of them. */
async function emptyPoolAnd<T>(fn: () => Promise<T>): Promise<T> {
  await sample.database.sql('delete from tenantry.role_pool')
  return fn()
}
