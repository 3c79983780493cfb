import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFormWorld, type FormWorld } from './form-world.ts'
import { randomSchema, randomStatements } from './random-schema.ts'

/** More of them, and a failure made small, with TENANTRY_NIGHTLY=1. */
const NIGHTLY = process.env['TENANTRY_NIGHTLY'] === '1'

let world: FormWorld
beforeAll(async () => {
  world = await createFormWorld()
})
afterAll(() => world.close())

/** Rows in any order, or what the error says to programs. */
async function outcome(run: Promise<object[]>): Promise<unknown> {
  try {
    return (await run).map((row) => JSON.stringify(row)).toSorted()
  } catch (error) {
    const [code, constraint, column] = ['code', 'constraint', 'column'].map((name): unknown =>
      Reflect.get(error as object, name),
    )
    return { code, constraint, column }
  }
}

const randomCase = randomSchema.chain((schema) =>
  randomStatements(schema).map((statements) => ({ schema, statements })),
)

test(
  'random tables answer random statements as if each tenant had them alone',
  async () => {
    const seen: Record<string, number> = {}
    await fc.assert(
      fc.asyncProperty(randomCase, async ({ schema, statements }) => {
        const { home } = world
        try {
          for (const own of ['own_a', 'own_b']) {
            await world.db
              .sql(`create schema ${own} authorization ${home.ownerRole}; set role ${home.ownerRole};
            set search_path = ${own}; ${schema.ddl}; grant usage on schema ${own} to ${home.role};
            grant select, insert, update, delete on all tables in schema ${own} to ${home.role};
            grant usage on all sequences in schema ${own} to ${home.role}; reset role; reset search_path`)
          }
          const { problems } = await world.change(schema.ddl)
          expect(problems).toEqual([])
          expect(await world.compare()).toEqual([])
          expect((await world.derive()).statements).toEqual([])
          for (const { tenant, text } of statements) {
            // In the order in which rows were written, whichever index there is.
            const settings =
              'set local enable_indexscan = off; set local enable_bitmapscan = off; set local enable_indexonlyscan = off'
            const alone = await outcome(
              world.as(tenant, text, `${settings}; set local search_path = own_${tenant}`),
            )
            // As the gateway does it in a shared home.
            const completed = text.replace('on conflict (', 'on conflict (tenant_id, ')
            const shared = await outcome(world.as(tenant, completed, settings))
            expect(shared, text).toEqual(alone)
            const kind = Array.isArray(alone) ? 'rows' : String(Reflect.get(alone as object, 'code'))
            seen[kind] = (seen[kind] ?? 0) + 1
          }
          for (const { name, columns } of schema.tables) {
            const query = `select ${columns.map((column) => column.name).join(', ')} from ${name}`
            for (const tenant of ['a', 'b']) {
              const alone = await outcome(world.as(tenant, query, `set local search_path = own_${tenant}`))
              expect(await outcome(world.as(tenant, query)), name).toEqual(alone)
            }
          }
        } finally {
          await world.db.sql('drop schema if exists own_a cascade; drop schema if exists own_b cascade')
          await world.clear()
        }
      }),
      {
        numRuns: NIGHTLY ? 600 : 60,
        interruptAfterTimeLimit: NIGHTLY ? 1_500_000 : 150_000,
        endOnFailure: !NIGHTLY,
      },
    )
    // The statements did meet keys, checks and foreign keys.
    expect(Object.keys(seen)).toEqual(expect.arrayContaining(['rows', '23505', '23503', '23502', '23514']))
  },
  NIGHTLY ? 1_600_000 : 180_000,
)
