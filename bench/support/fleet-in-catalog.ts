/** Tenants that are in the catalog, with ledgers and heads at the newest migration, and without tables: a large fleet fast. */
import { prepareDatabase } from '../../dev/project.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { withLogin } from '../../src/isolation/logins.ts'
import type { Migration } from '../../src/migrate/files/migration.ts'
import { chainOf } from '../../src/migrate/ledger/chain.ts'
import { recordHistory } from '../../src/migrate/ledger/heads.ts'
import type { BenchWorld } from './bench-world.ts'

const DATABASE = 'bench_fleet'

/** Past the triggers, which lock each name. */
const FILL = `
  begin;
  set local session_replication_role = replica;
  insert into tenantry.tenants (id, status, name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
    select uuidv7()::text, 'active', 'company-' || n, 'default', '{}', 'schema', 'guarded', 'tenant_' || n, 'role_' || n,
      'role_' || n || '_o', 1 from generate_series(1, COUNT) n;
  insert into tenantry.keys (key, tenant_id) select name, id from tenantry.tenants;
  insert into tenantry.migration_heads (schema_name, digest, version)
    select schema_name, DIGEST, 1 from tenantry.tenants;
  commit;
  vacuum analyze tenantry.tenants`

/** Makes them anew. `close` drops their database. */
export async function makeFleet(
  world: BenchWorld,
  count: number,
  migrations: readonly Migration[],
): Promise<{ readonly adminUrl: string; close(): Promise<void> }> {
  const url = Object.assign(new URL(world.superuserUrl), { pathname: `/${DATABASE}` }).href
  const server = createAdminDatabase(world.superuserUrl, 1)
  const drop = (): Promise<unknown> => server.query(`drop database if exists ${DATABASE} with (force)`)
  await drop()
  const known = { admin: new URL(world.adminUrl).password, app: new URL(world.appUrl).password }
  const { admin } = await prepareDatabase(world.superuserUrl, { database: DATABASE, known })
  const db = createAdminDatabase(url, 1)
  const chain = chainOf(migrations)
  await recordHistory(db, chain)
  const [fill = '', vacuum = ''] = FILL.replace('COUNT', String(count))
    .replace('DIGEST', `'${chain.head ?? ''}'`)
    .split(/(?<=commit;)/)
  await db.query(fill)
  await db.query(vacuum)
  await db.close()
  return {
    adminUrl: withLogin(url, { name: 'tenantry_admin', password: admin }),
    async close() {
      await drop()
      await server.close()
    },
  }
}
