/** Canaries: rows that nobody but their tenant may see, in a table that is made for the proof. */
import type { AdminDatabase, Queryable } from '../core/database.ts'
import type { SharedHome } from '../core/homes.ts'
import type { Tenant } from '../core/tenant.ts'
import { planProtection } from '../isolation/shared-form/plan-protection.ts'
import { readFacts } from '../isolation/shared-form/read-facts.ts'
import { quoteIdent, quoteLiteral } from '../sql/quote.ts'
import { type Arena, newSecret, type Target } from './arena.ts'
import type { Kind } from './report.ts'

const TABLE = 'tenantry_canary'
/** Begins the names of schemas that hold canaries of the shared model; the run's number follows. */
export const CANARY_SCHEMA = 'tenantry_prove_'
/** The comment of such a schema: without it, it is somebody else's. */
export const CANARY_COMMENT = 'tenantry: canaries of a proof'

/** What the numbers of a sequence cannot reach by what the attacker may do with it in shared tables. */
const FAR = 100_000

/** The table that attacks are aimed at, made for both tenants; each gets its rows. */
export async function plantCanaries(
  admin: AdminDatabase,
  kind: Kind,
  run: string,
  pair: { readonly attacker: Tenant; readonly victim: Tenant },
): Promise<Arena> {
  const { attacker, victim } = pair
  const shared = kind.model === 'shared'
  const target: Target = shared
    ? { schema: `${CANARY_SCHEMA}${run}`, table: TABLE, onPath: false }
    : { schema: victim.home.schema, table: TABLE, onPath: true }
  const arena = {
    kind,
    run,
    attacker,
    victim,
    target,
    attackerSecret: newSecret(),
    victimSecret: newSecret(),
  }
  if (shared) await makeSharedTable(admin, arena)
  else {
    for (const tenant of [attacker, victim]) {
      await asOwner(databaseOf(admin, tenant), tenant, (tx) =>
        tx.query(`create table ${quoteIdent(tenant.home.schema)}.${TABLE} (
          id bigint generated always as identity primary key, note text not null default 'planted')`),
      )
    }
  }
  await restoreCanaries(admin, arena)
  return arena
}

/** In a schema of its own, so that a proof that is killed leaves nothing among the tables that tenants share. */
async function makeSharedTable(admin: AdminDatabase, { target, victim }: Arena): Promise<void> {
  const { ownerRole, role } = victim.home
  const schema = quoteIdent(target.schema)
  await admin.transaction(async (tx) => {
    const home = await findSharedHome(tx)
    // Of a sealed tenant the role is its own: what all of them have is the home's.
    const parties = { role: quoteIdent(home?.role ?? role), owner: quoteIdent(ownerRole), ownerRole }
    const { rows } = await tx.query<{ admin: string }>('select quote_ident(current_user) as admin')
    const { rows: there } = await tx.query('select 1 from pg_namespace where nspname = $1', [target.schema])
    if (there.length === 0) {
      await tx.query(`create schema ${schema} authorization ${parties.owner};
        set local role ${parties.owner};
        comment on schema ${schema} is ${quoteLiteral(CANARY_COMMENT)};
        grant usage on schema ${schema} to ${parties.role};
        grant usage on schema ${schema} to session_user;
        create table ${schema}.${TABLE} (
          tenant_id text collate "C" not null default tenantry.current_tenant(),
          id bigint generated always as identity, note text not null default 'planted',
          primary key (tenant_id, id))`)
      const statements = planProtection(await readFacts(tx, target.schema), {
        ...parties,
        admin: rows[0]?.admin ?? '',
      })
      await tx.query(`${statements.join(';\n')}; set local role none`)
    }
  })
}

async function findSharedHome(tx: Queryable): Promise<Pick<SharedHome, 'role'> | undefined> {
  const { rows } = await tx.query<{ role: string }>('select role_name as role from tenantry.shared_homes')
  return rows[0]
}

const ROWS = 3

/** Puts the canaries of both tenants as they were planted, with the numbers that they had. */
export async function restoreCanaries(admin: AdminDatabase, arena: Arena): Promise<void> {
  const { kind, attacker, victim, target } = arena
  const shared = kind.model === 'shared'
  for (const [tenant, secret] of [
    [attacker, arena.attackerSecret],
    [victim, arena.victimSecret],
  ] as const) {
    const table = `${quoteIdent(shared ? target.schema : tenant.home.schema)}.${TABLE}`
    const own = shared ? `where tenant_id = ${quoteLiteral(tenant.id)}` : ''
    const [column, value] = shared ? ['tenant_id, ', `${quoteLiteral(tenant.id)}, `] : ['', '']
    await asOwner(databaseOf(admin, tenant), tenant, (tx) =>
      tx.query(`delete from ${table} ${own};
        insert into ${table} (${column}id, note) overriding system value
          select ${value}n, ${quoteLiteral(secret)} from generate_series(1, ${ROWS}) n;
        select setval(pg_get_serial_sequence(${quoteLiteral(table)}, 'id'), ${ROWS * 10})`),
    )
  }
}

/** A text that is the same as long as the victim's canaries, and their numbers, are. */
export async function fingerprint(admin: AdminDatabase, arena: Arena): Promise<string> {
  const { kind, victim, target } = arena
  const shared = kind.model === 'shared'
  const table = `${quoteIdent(target.schema)}.${TABLE}`
  const own = shared ? `where tenant_id = ${quoteLiteral(victim.id)}` : ''
  const sequence = `${quoteIdent(target.schema)}.${TABLE}_id_seq`
  const { rows } = await asOwner(databaseOf(admin, victim), victim, (tx) =>
    tx.query<{ print: string }>(`select
      (select coalesce(string_agg(t::text, ',' order by t.id), 'none') from ${table} t ${own}) || ' ' ||
      (select ${shared ? `last_value > ${FAR}` : 'last_value'} from ${sequence}) as print`),
  )
  return rows[0]?.print ?? ''
}

/** The database that holds the tenant's rows. */
export function databaseOf(admin: AdminDatabase, { home }: Tenant): AdminDatabase {
  return home.database === undefined ? admin : admin.inDatabase(home.database)
}

async function asOwner<T>(db: AdminDatabase, tenant: Tenant, fn: (tx: Queryable) => Promise<T>): Promise<T> {
  return db.transaction(async (tx) => {
    await tx.query(`set local role ${quoteIdent(tenant.home.ownerRole)}`)
    return fn(tx)
  })
}
