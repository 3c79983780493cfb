/** Tenants that are in the catalog and have no rows, for what looks tenants up: in a database of its own. */
import { prepareDatabase } from '../../dev/project.ts'
import { makeSecret } from '../../src/catalog/api-key-secret.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { withLogin } from '../../src/isolation/logins.ts'
import type { BenchWorld } from './bench-world.ts'

/** A tenant, as requests name it. */
export interface CatalogTenant {
  readonly id: string
  readonly key: string
  /** Verified. */
  readonly domain: string
  /** The secret of its API key, where it is one of the first. */
  readonly apiKey: string | undefined
}

/** A catalog, and who may read it. */
export interface CatalogTenants {
  readonly appUrl: string
  readonly tenants: readonly CatalogTenant[]
  close(): Promise<void>
}

const DATABASE = 'bench_catalog'

/**
 * In bulk, past the triggers: they lock each name, which no transaction can do with 100,000 of them. What they keep
 * is written here.
 */
const FILL = `
  begin;
  set local session_replication_role = replica;
  insert into tenantry.tenants (id, status, name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
    select uuidv7()::text, 'active', 'company-' || n, 'default', '{}', 'shared', 'guarded', 'shared', 'shared', 'shared', 1
    from generate_series(1, COUNT) n;
  insert into tenantry.keys (key, tenant_id) select name, id from tenantry.tenants;
  insert into tenantry.domains (domain, tenant_id, token, verified_at)
    select 'shop.' || name || '.example', id, 'proven', now() from tenantry.tenants;
  insert into tenantry.contexts (id, status, proof) select id, status, tenantry.make_proof(id) from tenantry.tenants;
  commit;`

const ADD_KEYS = `insert into tenantry.api_keys (id, tenant_id, name, hash, prefix)
  select id, id, 'bench', decode(hash, 'hex'), 'tny_' from unnest($1::text[], $2::text[]) as made (id, hash)`

/**
 * Makes them anew; `close` drops their database.
 * @param withKeys how many of them have an API key
 */
export async function makeCatalogTenants(
  world: BenchWorld,
  count: number,
  withKeys: number,
): Promise<CatalogTenants> {
  const url = Object.assign(new URL(world.superuserUrl), { pathname: `/${DATABASE}` }).href
  const server = createAdminDatabase(world.superuserUrl, 1)
  const drop = (): Promise<unknown> => server.query(`drop database if exists ${DATABASE} with (force)`)
  await drop()
  const known = { admin: new URL(world.adminUrl).password, app: new URL(world.appUrl).password }
  const { app } = await prepareDatabase(world.superuserUrl, { database: DATABASE, known })
  const db = createAdminDatabase(url, 1)
  await db.query(FILL.replace('COUNT', String(count)))
  await db.query('vacuum analyze')
  const { rows } = await db.query<{ id: string; key: string }>(
    'select id, name as key from tenantry.tenants order by random()',
  )
  const keyed = rows.slice(0, withKeys).map(({ id }) => ({ id, ...makeSecret('tny') }))
  await db.query(ADD_KEYS, [keyed.map(({ id }) => id), keyed.map(({ hash }) => hash)])
  await db.close()
  return {
    appUrl: withLogin(url, { name: 'tenantry_app', password: app }),
    tenants: rows.map(({ id, key }, index) => ({
      id,
      key,
      domain: `shop.${key}.example`,
      apiKey: keyed[index]?.secret,
    })),
    async close() {
      await drop()
      await server.close()
    },
  }
}
