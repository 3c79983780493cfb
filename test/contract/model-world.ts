/** Two tenants of one model and tier, on one version of PostgreSQL, reached directly or through PgBouncer. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ControlPlane,
  createControlPlane,
  createTenancy,
  type Tenancy,
  type Tenant,
  type TenantModel,
  type TenantTier,
} from '../../src/index.ts'
import { createKeyring } from '../../src/isolation/master-key.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import type { ServerVersion } from '../support/versions.ts'

/** What a suite is run over. */
export interface ModelSetting {
  readonly model: TenantModel
  readonly tier: TenantTier
  readonly version: ServerVersion
  readonly by: 'direct' | 'PgBouncer'
}

export interface ModelWorld {
  readonly database: TestDatabase
  readonly plane: ControlPlane
  readonly tenancy: Tenancy
  readonly acme: Tenant
  readonly globex: Tenant
  /** Adds a tenant migration and runs it everywhere. */
  migrate(sql: string): Promise<void>
  close(): Promise<void>
}

/** What an application has: a table that refers to another, what is unique, what a trigger fills, and rows of its own. */
const TABLES = `
create table statuses (name text primary key, position int not null);
insert into statuses values ('open', 1), ('paid', 2);
create table customers (
  id bigint generated always as identity primary key,
  email text not null unique,
  visits int not null default 0
);
create table orders (
  id bigserial primary key,
  customer_id bigint not null references customers (id) on delete cascade,
  number int not null,
  status text not null default 'open' references statuses,
  total numeric(10, 2) not null check (total >= 0),
  changed int not null default 0,
  constraint orders_number unique (number)
);
create index orders_open on orders (customer_id) where status = 'open';
create function count_change() returns trigger language plpgsql as $$
begin new.changed := old.changed + 1; return new; end $$;
create trigger count_change before update on orders for each row execute function count_change();
create view open_orders as select o.*, c.email from orders o join customers c on c.id = o.customer_id
  where o.status = 'open';
create function total_of(customer bigint) returns numeric language sql stable as
  'select coalesce(sum(total), 0) from orders where customer_id = customer';
`

const MASTER_KEY = 'a master key for tests and long enough to be one'

export async function createModelWorld(setting: ModelSetting): Promise<ModelWorld> {
  const { model, tier, version } = setting
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-model-'))
  const tenantFolder = join(folder, 'tenant')
  mkdirSync(tenantFolder)
  let count = 0
  const addMigration = (sql: string): void =>
    writeFileSync(join(tenantFolder, `${++count}_step.sql`), `-- Up Migration\n${sql}`)
  addMigration(TABLES)
  const database = await createTestDatabase({ version })
  const plane = createControlPlane({
    connection: database.adminUrl,
    migrations: { tenant: tenantFolder },
    masterKey: MASTER_KEY,
    async seed(db, { key }) {
      await db.query('insert into customers (email) values ($1)', [`first@${key}.example`])
    },
  })
  let pooler: PgBouncer | undefined
  let tenancy: Tenancy | undefined
  async function close(): Promise<void> {
    await tenancy?.close({ timeoutMs: 1_000 })
    await pooler?.stop()
    for (const { key } of await plane.tenants.list()) await plane.tenants.delete(key, { confirm: key })
    await plane.close()
    await database.drop()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const acme = await plane.tenants.create({ key: 'acme', model, tier })
    const globex = await plane.tenants.create({ key: 'globex', model, tier })
    if (setting.by === 'PgBouncer') {
      const moreLogins = [acme, globex].flatMap((tenant) => loginOf(tenant, database))
      // Fifteen seconds by default: so long a tenant would stay away that was suspended and resumed.
      const settings = { server_login_retry: '1' }
      pooler = await startPgBouncer({ poolSize: 4, version, moreLogins, settings })
    }
    tenancy = createTenancy({
      connection: pooler?.through(database.appUrl) ?? database.appUrl,
      masterKey: MASTER_KEY,
      ...(pooler === undefined ? {} : { direct: database.appUrl, pooler: 'pgbouncer' }),
    })
    await tenancy.ready()
    return {
      database,
      plane,
      tenancy,
      acme,
      globex,
      async migrate(sql) {
        addMigration(sql)
        const { failed } = await plane.migrate.up()
        for (const { error } of failed) throw error
      },
      close,
    }
  } catch (error) {
    await close().catch(() => undefined)
    throw error
  }
}

function loginOf({ id, home }: Tenant, { appUrl }: TestDatabase): string[] {
  if (home.keyId === undefined) return []
  const password = createKeyring(MASTER_KEY).secretOf(id, home.keyId)
  return [Object.assign(new URL(appUrl), { username: home.role, password }).href]
}
