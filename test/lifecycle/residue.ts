/** Looks for anything that an erased tenant left behind, by the oids that it had. */
import type { Home } from '../../src/core/tenant.ts'
import type { TestDatabase } from '../support/database.ts'

/** What to look for later; taken while the tenant is there. */
export interface Traces {
  readonly id: string
  readonly key: string
  readonly oids: readonly string[]
  readonly names: readonly string[]
}

export async function tracesOf(
  database: TestDatabase,
  { id, key, home }: { id: string; key: string; home: Home },
): Promise<Traces> {
  const rows = await database.sql<{ oid: string }>(
    `select oid::text from pg_roles where rolname in ($1, $2)
     union all select oid::text from pg_namespace where nspname = $3
     union all select oid::text from pg_database where datname = $4`,
    [home.role, home.ownerRole, home.schema, home.database],
  )
  // In databases of their own, all tenants' schemas have one name.
  const place = home.database ?? home.schema
  return { id, key, oids: rows.map(({ oid }) => oid), names: [home.role, home.ownerRole, place, key] }
}

/** Each trace that is still there, as a sentence; the tombstone of id, status and times is none. */
export async function residueOf(database: TestDatabase, traces: Traces): Promise<string[]> {
  const found: string[] = []
  const oids = `array[${traces.oids.join(',')}]::oid[]`
  const looks = {
    schema: `select nspname from pg_namespace where oid = any (${oids}) or nspname = $1`,
    database: `select datname from pg_database where oid = any (${oids}) or datname = $1`,
    comment: `select description from pg_shdescription where objoid = any (${oids})`,
    role: `select rolname from pg_roles where oid = any (${oids})`,
    dependency: `select classid::regclass::text from pg_shdepend where refobjid = any (${oids})`,
    membership: `select roleid::text from pg_auth_members where roleid = any (${oids}) or member = any (${oids}) or grantor = any (${oids})`,
    'role setting': `select setrole::text from pg_db_role_setting where setrole = any (${oids})`,
    'default ACL': `select defaclrole::text from pg_default_acl where defaclrole = any (${oids}) or defaclnamespace = any (${oids})
      or exists (select from aclexplode(defaclacl) a where a.grantee = any (${oids}))`,
    'table ACL': `select relname from pg_class where exists (select from aclexplode(relacl) a where a.grantee = any (${oids}))`,
    'schema ACL': `select nspname from pg_namespace where exists (select from aclexplode(nspacl) a where a.grantee = any (${oids}))`,
    'object in schema': `select relname from pg_class where relnamespace = any (${oids})`,
  }
  for (const [what, text] of Object.entries(looks)) {
    const rows = await database.sql(text, text.includes('$1') ? [traces.names[2]] : [])
    for (const row of rows) found.push(`${what} ${Object.values(row).join()}`)
  }
  for (const table of [
    'tenants',
    'keys',
    'domains',
    'api_keys',
    'operations',
    'role_pool',
    'ready_homes',
    'settings',
  ]) {
    const rows = await database.sql<{ row: string }>(
      `select to_jsonb(t)::text as row from tenantry.${table} t`,
    )
    for (const { row } of rows) {
      const name = traces.names.find((each) => row.includes(`"${each}"`))
      if (name !== undefined || (table !== 'tenants' && row.includes(traces.id)))
        found.push(`${table}: ${row}`)
    }
  }
  return found
}
