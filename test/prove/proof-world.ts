/** An installation to prove: tenants with a migration, and the parts that the command hands to `prove`. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ControlPlane, createControlPlane, createTenancy, type TenancyOptions } from '../../src/index.ts'
import type { AdminDatabase } from '../../src/core/database.ts'
import { knexHandle } from '../../src/cli/knex-handle.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { knexForTenants } from '../../src/orm/knex.ts'
import type { ProveParts } from '../../src/prove/prove.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const MIGRATION = `-- Up Migration
create table customers (id bigint generated always as identity primary key, name text not null unique);
create table orders (
  id bigint generated always as identity primary key,
  customer_id bigint not null references customers (id),
  note varchar(80) not null,
  placed_on date not null,
  extra jsonb
);
create view recent as select * from orders where placed_on > now() - interval '1 day';
-- Down Migration
drop view recent; drop table orders; drop table customers;
`

export const MASTER_KEY = 'a master key of the tests and no secret at all'

export interface ProofWorld {
  readonly db: TestDatabase
  readonly plane: ControlPlane
  readonly admin: AdminDatabase
  /** For `prove`; `tenancy` changes how its tenancies are opened. */
  parts(tenancy?: TenancyOptions): ProveParts
  /** Keys of all tenants, roles and schemas that proofs have left. */
  leftovers(): Promise<string[]>
  close(): Promise<void>
}

export async function createProofWorld(): Promise<ProofWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-proof-'))
  mkdirSync(join(folder, 'tenant'))
  writeFileSync(join(folder, 'tenant', '1_orders.sql'), MIGRATION)
  const db = await createTestDatabase()
  const plane = createControlPlane({
    connection: db.adminUrl,
    masterKey: MASTER_KEY,
    migrations: { tenant: join(folder, 'tenant') },
  })
  const admin = createAdminDatabase(db.adminUrl)
  return {
    db,
    plane,
    admin,
    parts: (options = {}) => ({
      control: plane,
      admin,
      connection: db.appUrl,
      masterKey: MASTER_KEY,
      openTenancy({ max }) {
        const tenancy = createTenancy({
          connection: db.appUrl,
          masterKey: MASTER_KEY,
          max,
          statementTimeoutMs: 2_000,
          ...options,
        })
        const { central } = tenancy
        return {
          central,
          poolFor: (tenant) => tenancy.poolFor(tenant),
          close: (closing) => tenancy.close(closing),
          handles: [knexHandle(knexForTenants(tenancy))],
        }
      },
    }),
    async leftovers() {
      const rows = await db.sql<{ name: string }>(
        `select key as name from tenantry.keys where key like 'prove-%'
         union all select nspname from pg_namespace where nspname like 'tenantry\\_prove%' or nspname like 'tenant\\_prove%'
         union all select datname from pg_database where datname like 'tenant\\_prove%'
           and shobj_description(oid, 'pg_database') like '% in ' || current_database()`,
      )
      return rows.map(({ name }) => name)
    },
    async close() {
      await plane.close()
      await admin.close()
      await db.drop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
