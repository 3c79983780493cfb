/** Tenants with an `orders` table each, and a tenancy over them: what most tests begin with. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ControlPlane,
  createControlPlane,
  createTenancy,
  type Tenancy,
  type TenancyOptions,
  type Tenant,
} from '../../src/index.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'

/** A database with tenants, the control plane that made them, and a way to open tenancies on it. */
export interface TenantWorld {
  readonly db: TestDatabase
  readonly plane: ControlPlane
  /** By key. Each has three orders that carry its key. */
  readonly tenants: Readonly<Record<string, Tenant>>
  /** Opens a tenancy as the runtime login; closed with the world. */
  open(options?: TenancyOptions): Tenancy
  close(): Promise<void>
}

const MIGRATION = `-- Up Migration
create table orders (
  id bigint generated always as identity primary key,
  owner text not null,
  note text
);
create function owner_of(order_id bigint) returns text language sql stable as 'select owner from orders where id = order_id';
-- Down Migration
drop table orders;
`

/** Makes tenants of these keys. */
export async function createTenantWorld(...keys: string[]): Promise<TenantWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-migrations-'))
  mkdirSync(join(folder, 'tenant'))
  writeFileSync(join(folder, 'tenant', '1_orders.sql'), MIGRATION)
  const db = await createTestDatabase()
  const plane = createControlPlane({
    connection: db.adminUrl,
    migrations: { tenant: join(folder, 'tenant') },
    async seed(tenantDb, { key }) {
      await tenantDb.query('insert into orders (owner) select $1 from generate_series(1, 3)', [key])
    },
  })
  const tenants: Record<string, Tenant> = {}
  for (const key of keys) tenants[key] = await plane.tenants.create({ key })
  const opened: Tenancy[] = []
  return {
    db,
    plane,
    tenants,
    open(options = {}) {
      const tenancy = createTenancy({ connection: db.appUrl, ...options })
      opened.push(tenancy)
      return tenancy
    },
    async close() {
      await Promise.all(opened.map((tenancy) => tenancy.close({ timeoutMs: 1_000 })))
      await plane.close()
      await db.drop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
