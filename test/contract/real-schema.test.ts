import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeOnVersions } from '../support/versions.ts'
import { DAVICAL_DAY } from './davical-day.ts'
import { planTableWork, type TableWork } from './every-table.ts'
import { findRealSchemas, withoutRules, type RealSchema } from './real-schemas.ts'
import { createRealWorld, type Outcome, type RealWorld } from './real-world.ts'

const schemas = findRealSchemas()

/** Where they cannot be fetched, the tests are skipped for all to see, and fail in CI. */
describe.skipIf(schemas === undefined)('the schema of an application', () => {
  describeOnVersions('Zabbix', [18], (version) => {
    let world: RealWorld
    let work: TableWork
    beforeAll(async () => {
      world = await createRealWorld(version)
    })
    afterAll(() => world?.close())

    test('its tables and first rows are the same in all three models', { timeout: 240_000 }, async () => {
      const { tables, rows } = requireSchema('zabbix')
      await world.migrate(tables)
      await world.add('acme')
      // These run for acme, and are copied for globex.
      await world.migrate(rows)
      await world.add('globex')
      await expectForm(world)
      work = await world.inSchema('acme-schema', planTableWork)
      expect(work.tables).toHaveLength(173)
      for (const name of ['acme', 'globex']) {
        const seen = await compareAll(world, name, work.read)
        expect(countRows(seen)).toBeGreaterThan(700)
      }
    })

    test(
      'every table takes, refuses, changes and loses rows alike, each tenant its own',
      { timeout: 240_000 },
      () => expectWork(world, work, { inserted: 173, violated: 350 }),
    )
  })

  describeOnVersions('DAViCal', [15, 18], (version) => {
    let world: RealWorld
    let work: TableWork
    beforeAll(async () => {
      world = await createRealWorld(version)
    })
    afterAll(() => world?.close())

    test('what shared tables cannot have is refused with its line, and there is a way out', async () => {
      const { tables } = requireSchema('davical')
      const line = tables.slice(0, tables.indexOf('CREATE or REPLACE RULE')).split('\n').length + 1
      const refusal = await world.refusalOf(tables)
      expect(refusal).toMatchObject({
        code: 'TNY407',
        hint: expect.stringContaining('Write a trigger') as string,
      })
      expect(String(refusal)).toContain(`(line ${line})`)
    })

    test('its tables and first rows are the same in all three models', { timeout: 120_000 }, async () => {
      const { tables, rows } = withoutRules(requireSchema('davical'))
      await world.migrate(tables)
      await world.add('acme')
      await world.migrate(rows)
      await world.add('globex')
      await expectForm(world)
      work = await world.inSchema('acme-schema', planTableWork)
      for (const name of ['acme', 'globex']) {
        const seen = await compareAll(world, name, work.read)
        expect(countRows(seen)).toBeGreaterThan(20)
      }
    })

    test('its views, triggers and functions do the same for each tenant', async () => {
      const seen = await compareAll(world, 'acme', DAVICAL_DAY)
      expect(seen.filter((outcome) => 'code' in outcome)).toHaveLength(7)
      expect(await compareAll(world, 'globex', DAVICAL_DAY)).toEqual(seen)
    })

    test('where models differ, it is as the guide says', async () => {
      const sql = 'select user_no, username from usr group by user_no'
      const { schema, shared, database } = await world.runAll('acme', [sql])
      expect(schema[0]).toHaveProperty('rows')
      expect(database).toEqual(schema)
      expect(shared).toMatchObject([{ code: '42803' }])
      const written = 'select user_no, max(username) as username from usr group by user_no'
      await compareAll(world, 'acme', [
        written,
        'select user_no, username from usr group by user_no, username',
      ])
    })

    test(
      'every table takes, refuses, changes and loses rows alike, each tenant its own',
      { timeout: 120_000 },
      () => expectWork(world, work, { inserted: 30, violated: 40 }),
    )
  })
})

function requireSchema(name: 'zabbix' | 'davical'): RealSchema {
  if (schemas === undefined) throw new Error('the schemas are not there')
  return schemas[name]
}

async function expectForm(world: RealWorld): Promise<void> {
  const { differences, again } = await world.checkForm()
  expect(differences).toEqual([])
  expect(again).toEqual({ statements: [], problems: [] })
}

/** The outcomes, which must be the same in all three models. */
async function compareAll(
  world: RealWorld,
  name: string,
  statements: readonly string[],
): Promise<readonly Outcome[]> {
  const { schema, shared, database } = await world.runAll(name, statements)
  const told = (outcomes: readonly Outcome[]): unknown[] =>
    outcomes.map((outcome, index) => ({ sql: statements[index], outcome }))
  expect(told(shared)).toEqual(told(schema))
  expect(told(database)).toEqual(told(schema))
  return schema
}

async function expectWork(
  world: RealWorld,
  { write, change, remove, read }: TableWork,
  least: { inserted: number; violated: number },
): Promise<void> {
  const before = await compareAll(world, 'globex', read)
  const written = await compareAll(world, 'acme', write)
  const inserted = written.filter((outcome, index) => 'rows' in outcome && write[index]?.startsWith('insert'))
  expect(inserted.length).toBeGreaterThanOrEqual(least.inserted)
  expect(written.filter((outcome) => 'code' in outcome).length).toBeGreaterThanOrEqual(least.violated)
  // The same ids and names are free for the other tenant, who has seen nothing of all this.
  expect(await compareAll(world, 'globex', read)).toEqual(before)
  expect(await compareAll(world, 'globex', write)).toEqual(written)
  const full = await compareAll(world, 'globex', read)
  await compareAll(world, 'acme', change)
  await compareAll(world, 'acme', read)
  await compareAll(world, 'acme', remove)
  await compareAll(world, 'acme', read)
  expect(await compareAll(world, 'globex', read)).toEqual(full)
}

function countRows(outcomes: readonly Outcome[]): number {
  return outcomes.reduce((sum, outcome) => sum + ('rows' in outcome ? outcome.rows.length : 0), 0)
}
