/** Schemas of a test database, made from DDL, read and made again from what was read. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AdminDatabase } from '../../src/core/database.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import type { SchemaDescription } from '../../src/schema/description.ts'
import { readSchema } from '../../src/schema/read-schema.ts'
import { forSchema, insideSchema, renderSchema } from '../../src/schema/render-schema.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import type { ServerVersion } from '../support/versions.ts'

export interface SchemaWorld {
  readonly database: TestDatabase
  readonly db: AdminDatabase
  /** Makes a schema, in place of one that has the name. */
  make(schema: string, ddl: string): Promise<void>
  read(schema: string): Promise<SchemaDescription>
  /** Makes a schema from a description, statement by statement. */
  render(schema: string, description: SchemaDescription): Promise<SchemaDescription>
  /** Runs statements inside of a schema, each by itself. */
  run(schema: string, statements: readonly string[]): Promise<void>
  close(): Promise<void>
}

/** As a superuser, for kinds that others cannot make. */
export async function createSchemaWorld(version?: ServerVersion): Promise<SchemaWorld> {
  const database = await createTestDatabase({ version, installed: false })
  const db = createAdminDatabase(database.superuserUrl)
  const read = (schema: string): Promise<SchemaDescription> => db.transaction((tx) => readSchema(tx, schema))
  const renew = (schema: string): Promise<unknown> =>
    db.query(`drop schema if exists "${schema}" cascade; create schema "${schema}"`)
  async function run(schema: string, statements: readonly string[]): Promise<void> {
    await db.session(async (session) => {
      await session.query(insideSchema(schema).replaceAll('set local', 'set'))
      for (const statement of statements) {
        await session.query(forSchema(statement, schema)).catch((cause: unknown) => {
          throw new Error(`${cause instanceof Error ? cause.message : ''} in: ${statement}`, { cause })
        })
      }
    })
  }
  return {
    database,
    db,
    read,
    run,
    async make(schema, ddl) {
      await renew(schema)
      await db.transaction((tx) => tx.query(`set local search_path = "${schema}";\n${ddl}`))
    },
    async render(schema, description) {
      await renew(schema)
      await run(schema, renderSchema(description))
      return read(schema)
    },
    async close() {
      await db.close()
      await database.drop()
    },
  }
}

/** DDL with an object of every kind that a version has. */
export function allKinds(version: ServerVersion): string {
  const read = (name: string): string =>
    readFileSync(join(import.meta.dirname, 'fixtures', `${name}.sql`), 'utf8')
  return `${read('all-kinds')}\n${version >= 18 ? read('all-kinds-18') : ''}`
}
