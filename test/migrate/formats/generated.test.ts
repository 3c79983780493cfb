/** Migrations that TypeORM and MikroORM generate on the spot, from entities. */
import { createRequire } from 'node:module'
import { EntitySchema as MikroEntity, MikroORM } from '@mikro-orm/postgresql'
import { DataSource, EntitySchema } from 'typeorm'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createControlPlane } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { createFolder, type MigrationFolder } from '../migration-folder.ts'
import { MIKRO_ORM } from './tool-folders.ts'

/** How `typeorm migration:generate` writes a file. */
interface Generator {
  getTemplate(name: string, timestamp: number, up: readonly string[], down: readonly string[]): string
  escapeTemplateLiteral(text: string): string
}

const { MigrationGenerateCommand: generator } = createRequire(import.meta.url)(
  'typeorm/commands/MigrationGenerateCommand.js',
) as { MigrationGenerateCommand: Generator }

let db: TestDatabase
let folder: MigrationFolder
beforeEach(async () => {
  db = await createTestDatabase()
  folder = await createFolder()
})
afterEach(async () => {
  await folder.drop()
  await db.drop()
})

function entities(values: readonly string[]): EntitySchema[] {
  const id = { type: 'int', primary: true, generated: true } as const
  return [
    new EntitySchema({ name: 'customers', columns: { id, email: { type: 'text', unique: true } } }),
    new EntitySchema<{ id: number; status: string; tags: string[]; customer: object }>({
      name: 'orders',
      columns: {
        id,
        status: { type: 'enum', enum: [...values], default: values[0] },
        tags: { type: 'text', array: true, default: [] },
      },
      relations: { customer: { type: 'many-to-one', target: 'customers' } },
      indices: [{ columns: ['status'] }],
    }),
  ]
}

async function generate(name: string, timestamp: number, values: readonly string[]): Promise<string> {
  const source = new DataSource({ type: 'postgres', url: db.superuserUrl, entities: entities(values) })
  await source.initialize()
  try {
    const { upQueries } = await source.driver.createSchemaBuilder().log()
    const lines = upQueries.map(
      ({ query }) => `        await queryRunner.query(\`${generator.escapeTemplateLiteral(query)}\`);`,
    )
    // The next one is the difference to what is there now.
    await source.synchronize()
    return generator.getTemplate(name, timestamp, lines, [])
  } finally {
    await source.destroy()
  }
}

async function expectTables(tables: readonly string[]): Promise<void> {
  const plane = createControlPlane({ connection: db.adminUrl, migrations: { tenant: folder.path } })
  try {
    await plane.tenants.create({ key: 'acme' })
    await plane.tenants.create({ key: 'tiny', model: 'shared' })
    const found = await db.sql<{ name: string }>(
      "select tablename as name from pg_tables where schemaname = 'tenant_acme' and tablename <> 'pgmigrations' order by 1",
    )
    expect(found.map(({ name }) => name)).toEqual(tables)
  } finally {
    await plane.close()
  }
}

test('typeorm: entities, and a change of an enum', async () => {
  const first = await generate('Orders', 1704110400000, ['open', 'paid'])
  const second = await generate('Status', 1706788800000, ['open', 'void'])
  expect(first).toContain('"public"."orders_status_enum"')
  expect(second).toContain('DROP TYPE "public"."orders_status_enum_old"')
  await folder.write({ '1704110400000-Orders.ts': first, '1706788800000-Status.ts': second })
  await db.sql('drop table public.orders, public.customers; drop type public.orders_status_enum')
  await expectTables(['customers', 'orders'])
  const labels = await db.sql<{ labels: string }>(
    `select string_agg(enumlabel, ' ' order by enumsortorder) as labels from pg_enum
     where enumtypid = 'tenant_acme.orders_status_enum'::regtype`,
  )
  expect(labels).toEqual([{ labels: 'open void' }])
})

test('mikro-orm: entities', async () => {
  const customers = new MikroEntity({
    name: 'customers',
    properties: { id: { type: 'number', primary: true } },
  })
  const orm = await MikroORM.init({
    dbName: 'nowhere',
    entities: [
      customers,
      new MikroEntity({
        name: 'orders',
        properties: {
          id: { type: 'number', primary: true },
          customer: { kind: 'm:1', entity: () => customers },
          status: { type: 'string', enum: true, items: ['open', 'paid'], nativeEnumName: 'status' },
        },
      }),
    ],
  })
  const sql = await orm.schema.getCreateSchemaSQL({ wrap: false })
  await orm.close(true)
  const lines = sql.split('\n').filter((line) => line !== '')
  const file = MIKRO_ORM['Migration20240101120000.ts'].replace(
    /this\.addSql[^]*?\n\n {2}}/,
    `${lines.map((line) => `this.addSql(\`${line}\`);`).join('\n    ')}\n  }`,
  )
  await folder.write({ ...MIKRO_ORM, 'Migration20240101120000.ts': file })
  await expectTables(['customers', 'orders'])
})
