/** What may not change around the two tenants: read from the catalogs, which everybody may read, inside the attack. */
import { quoteLiteral } from '../sql/quote.ts'
import type { Arena } from './arena.ts'

/** Names that attacks of the corpus give to what they make. */
const PLANTED = ['planted', 'stolen', 'thief', 'taken', 'child', 'heir', 'intruder']

/**
 * One row with one text, the same as long as nothing of it has changed. Other tenants' coming and going does not count:
 * a proof runs beside the installation's work.
 */
export function structureQuery({ kind, attacker, victim, target }: Arena): string {
  const isShared = kind.model === 'shared'
  // What all tenants of the shared model have together changes with each of them, and with migrations.
  const homes = [attacker.home, victim.home]
  const schemas = list([...(isShared ? [] : homes.map(({ schema }) => schema)), target.schema])
  const roles = list([
    ...(isShared && kind.tier === 'guarded' ? [] : homes.map(({ role }) => role)),
    ...(isShared ? [] : homes.map(({ ownerRole }) => ownerRole)),
  ])
  const planted = list(PLANTED)
  // What a sealed tenant makes for its session alone is met by nobody else: its connections serve no other.
  const elsewhere = (column: string): string =>
    kind.tier === 'sealed' ? `${column} <> pg_catalog.pg_my_temp_schema()` : 'true'
  const spaces = `(select n.oid from pg_catalog.pg_namespace n where n.nspname in (${schemas}))`
  const parts = [
    `select string_agg(concat_ws(',', oid, relname, relkind, relowner, relacl, relrowsecurity, relforcerowsecurity, relhasrules, relhastriggers), ';' order by oid)
       from pg_catalog.pg_class where relnamespace in ${spaces} and relname like 'tenantry\\_canary%' or relname in (${planted}) and ${elsewhere('relnamespace')}`,
    `select string_agg(concat_ws(',', oid, nspname, nspowner, nspacl), ';' order by oid)
       from pg_catalog.pg_namespace where nspname in (${schemas}) or nspname in (${planted})`,
    `select string_agg(concat_ws(',', attrelid, attname, atttypid, attisdropped), ';' order by attrelid, attnum)
       from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
       where c.relnamespace in ${spaces} and c.relname like 'tenantry\\_canary%'`,
    `select string_agg(concat_ws(',', p.oid, polname, polroles, polqual, polwithcheck), ';' order by p.oid)
       from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = polrelid where c.relnamespace in ${spaces}`,
    `select string_agg(concat_ws(',', r.oid, rolname, rolsuper, rolbypassrls, rolcreaterole, rolcanlogin), ';' order by r.oid)
       from pg_catalog.pg_roles r where rolname in (${roles}) or rolname in (${planted})`,
    `select string_agg(concat_ws(',', m.roleid, m.member, m.admin_option), ';' order by m.roleid, m.member)
       from pg_catalog.pg_auth_members m join pg_catalog.pg_roles r on r.oid = m.roleid or r.oid = m.member
       where r.rolname in (${roles})`,
    `select string_agg(concat_ws(',', p.oid, proname, prosecdef, proowner, proacl, md5(prosrc)), ';' order by p.oid)
       from pg_catalog.pg_proc p where pronamespace in ${spaces} or ${elsewhere('pronamespace')} and (proname in (${planted}, 'current_tenant', 'owner_of')
         or (proname in ('lower', 'now') and prolang <> (select oid from pg_catalog.pg_language where lanname = 'internal')))`,
    `select string_agg(extname, ';' order by extname) from pg_catalog.pg_extension`,
    `select string_agg(lanname, ';' order by lanname) from pg_catalog.pg_language`,
    `select string_agg(datname, ';') from pg_catalog.pg_database where datname in (${planted})`,
    `select string_agg(description, ';') from pg_catalog.pg_description d join pg_catalog.pg_class c on c.oid = d.objoid
       where c.relnamespace in ${spaces}`,
  ]
  return `select concat_ws('|', ${parts.map((part) => `(${part})`).join(', ')}) as structure`
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'null' : names.map(quoteLiteral).join(', ')
}
