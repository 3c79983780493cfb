/** Random tables and statements of an application, sent through the gateway: the model of a tenant's home does not show. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type ControlPlane,
  createControlPlane,
  createTenancy,
  type Tenancy,
  type TenantModel,
} from '../../src/index.ts'
import { randomSchema, randomStatements } from '../isolation/shared-form/random-schema.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

/** More of them, and a failure made small, with TENANTRY_NIGHTLY=1. */
const NIGHTLY = process.env['TENANTRY_NIGHTLY'] === '1'

const MODELS: readonly TenantModel[] = ['schema', 'shared', 'database']
const NAMES = ['a', 'b'] as const

let database: TestDatabase
let plane: ControlPlane
let tenancy: Tenancy
const folder = mkdtempSync(join(tmpdir(), 'tenantry-same-'))
const migrations: string[] = []

beforeAll(async () => {
  database = await createTestDatabase()
  plane = createControlPlane({ connection: database.adminUrl, migrations: { tenant: folder } })
  const databases = [database.name]
  for (const model of MODELS) {
    for (const name of NAMES) {
      const { home } = await plane.tenants.create({ key: `${name}-${model}`, model, tier: 'guarded' })
      if (home.database !== undefined) databases.push(home.database)
    }
  }
  // Rows are met in the order in which they were written, whichever index there is: of several errors it is the same.
  for (const each of databases) {
    for (const way of ['indexscan', 'bitmapscan', 'indexonlyscan']) {
      await database.sql(`alter database "${each}" set enable_${way} = off`)
    }
  }
  tenancy = createTenancy({ connection: database.appUrl })
  await tenancy.ready()
})
afterAll(async () => {
  await tenancy?.close({ timeoutMs: 1_000 })
  for (const { key } of await plane.tenants.list()) await plane.tenants.delete(key, { confirm: key })
  await plane.close()
  await database.drop()
  rmSync(folder, { recursive: true })
})

async function migrate(sql: string): Promise<void> {
  migrations.push(sql)
  writeFileSync(join(folder, `${migrations.length}_step.sql`), `-- Up Migration\n${sql};\n`)
  const { failed } = await plane.migrate.up()
  for (const { error } of failed) throw error
}

type Outcome = readonly string[] | Readonly<Record<'code' | 'constraint' | 'column', unknown>>

/** Rows in any order and without the column that only shared tables have, or what an error says to programs. */
async function run(key: string, text: string): Promise<Outcome> {
  try {
    const { rows } = await tenancy.poolFor(key).query<Record<string, unknown>>(text)
    return rows
      .map((row) => JSON.stringify(Object.entries(row).filter(([name]) => name !== 'tenant_id')))
      .toSorted()
  } catch (error) {
    const said = error as Readonly<Record<string, unknown>>
    return { code: said['code'], constraint: said['constraint'], column: said['column'] }
  }
}

/** Runs it for a tenant of each model; the outcome of all. */
async function runEverywhere(name: string, text: string): Promise<Outcome> {
  const outcomes = await Promise.all(MODELS.map((model) => run(`${name}-${model}`, text)))
  const [first = [], ...others] = outcomes
  for (const [index, other] of others.entries()) expect(other, `${MODELS[index + 1]}: ${text}`).toEqual(first)
  return first
}

const randomCase = randomSchema.chain((schema) =>
  fc.record({ schema: fc.constant(schema), statements: randomStatements(schema), later: fc.boolean() }),
)

test(
  'random tables answer random statements of an application alike in all three models',
  async () => {
    const seen: Record<string, number> = {}
    await fc.assert(
      fc.asyncProperty(randomCase, async ({ schema, statements, later }) => {
        // Columns that a later migration adds come behind tenant_id, so that nobody can write by their order.
        const at = later ? schema.ddl.indexOf('alter table') : -1
        const [first, second] = at < 0 ? [schema.ddl] : [schema.ddl.slice(0, at), schema.ddl.slice(at)]
        // What was prepared and remembered of the tables of the turn before is of no use any more.
        await migrate(`drop table if exists t0, t1, t2, t3 cascade;\n${first}`)
        if (second !== undefined) await migrate(second)
        for (const [index, { tenant, text }] of statements.entries()) {
          // Some without the names of the columns, as people write.
          const bare = second === undefined && index % 4 === 0
          const sent = bare ? text.replace(/^(insert into \w+) \([^)]*\) values/, '$1 values') : text
          const outcome = await runEverywhere(tenant, sent)
          const kind = Array.isArray(outcome) ? 'rows' : String(Reflect.get(outcome, 'code'))
          seen[kind] = (seen[kind] ?? 0) + 1
          if (kind === 'rows' && text.includes('on conflict (')) seen['upsert'] = (seen['upsert'] ?? 0) + 1
        }
        for (const { name } of schema.tables) {
          for (const tenant of NAMES) await runEverywhere(tenant, `select * from ${name}`)
        }
      }),
      {
        numRuns: NIGHTLY ? 300 : 40,
        interruptAfterTimeLimit: NIGHTLY ? 1_500_000 : 120_000,
        endOnFailure: !NIGHTLY,
      },
    )
    // The statements did meet keys, checks and foreign keys, and upserts were understood.
    expect(Object.keys(seen)).toEqual(
      expect.arrayContaining(['rows', 'upsert', '23505', '23503', '23502', '23514']),
    )
  },
  NIGHTLY ? 1_600_000 : 300_000,
)
