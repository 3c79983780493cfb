/** A test database as users of the kit make it, on the server of this run. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createTestDatabase,
  type TestDatabase,
  type TestDatabaseOptions,
} from '../../src/testing/test-database.ts'
import { serverOf } from '../support/versions.ts'

/** Orders of each tenant; notes whose references wait for COMMIT; rows of all tenants in one table. */
const MIGRATIONS: Readonly<Record<string, string>> = {
  'tenant/1_orders.sql': `
    create table orders (id bigint generated always as identity primary key, customer text not null unique);
    create table notes (
      id bigint generated always as identity primary key,
      order_id bigint not null references orders deferrable initially deferred
    );`,
  'shared/1_plans.sql': `
    create table plans (name text primary key);
    insert into plans values ('free');
    create table members (tenant_id text not null, name text not null);
    grant select, insert on plans, members to tenantry_tenants;`,
}

/** Writes migrations, makes the database with acme and globex, and removes both with `close`. */
export async function openSample(
  options: Partial<TestDatabaseOptions> = {},
): Promise<{ db: TestDatabase; folder: string; close(): Promise<void> }> {
  const folder = writeMigrations()
  const { superuserUrl } = await serverOf(undefined)
  const db = await createTestDatabase({
    tenants: ['acme', 'globex'],
    migrations: { shared: join(folder, 'shared'), tenant: join(folder, 'tenant') },
    server: superuserUrl,
    async seed(tenantDb, { key }) {
      await tenantDb.query('insert into orders (customer) values ($1)', [`first of ${key}`])
    },
    ...options,
  })
  return {
    db,
    folder,
    async close() {
      await db.drop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A folder with `shared` and `tenant`. */
export function writeMigrations(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-testing-'))
  for (const name of ['shared', 'tenant']) mkdirSync(join(folder, name))
  for (const [name, text] of Object.entries(MIGRATIONS))
    writeFileSync(join(folder, name), `-- Up Migration\n${text}\n`)
  return folder
}

/** Customers of a tenant's orders, asked from outside of the test's own statements. */
export async function customersOf(db: TestDatabase, tenant: string): Promise<string[]> {
  const { rows } = await db.tenancy
    .poolFor(tenant)
    .query<{ customer: string }>('select customer from orders order by id')
  return rows.map(({ customer }) => customer)
}
