/** Plans what keeps tenants apart in shared tables: row security, policies, rights. Nothing where all is there. */
import { quoteLiteral } from '../../sql/quote.ts'
import { TENANT_COLUMN } from './desired-keys.ts'
import type { Grant, PolicyFacts, SchemaFacts, TableFacts } from './schema-facts.ts'

/** Whose rights are planned; quoted as the server does it. */
export interface Parties {
  readonly role: string
  readonly owner: string
  /** The control plane's login: for backups and for looking at all rows. */
  readonly admin: string
  /** The owner's name as it is stored. */
  readonly ownerRole: string
}

/** A policy and how PostgreSQL tells its condition, by which one that is there is known. */
interface DesiredPolicy {
  readonly name: string
  readonly roles: readonly string[]
  readonly condition: string
  readonly told: string
}

/** Row security, policies and rights on everything in the shared schema. */
export function planProtection(shared: SchemaFacts, parties: Parties): string[] {
  const policies = desiredPolicies(parties)
  const { role, admin } = parties
  const rows = ['SELECT', 'INSERT', 'UPDATE', 'DELETE']
  const reading = { to: admin, rights: ['SELECT'] }
  return [
    ...shared.tables.flatMap((table) => [
      ...planRowSecurity(table),
      ...policies.flatMap((policy) => planPolicy(table, policy)),
      // A partition is reached through its table. Its own policies are for the owner and the admin (S30).
      ...planRights(
        `table ${table.ident}`,
        table.grants,
        table.partition ? [reading] : [{ to: role, rights: rows }, reading],
      ),
    ]),
    ...shared.views.flatMap(({ ident, invoker, grants }) => [
      ...(invoker ? [] : [`alter view ${ident} set (security_invoker = true)`]),
      ...planRights(`table ${ident}`, grants, [{ to: role, rights: rows }, reading]),
    ]),
    ...shared.sequences.flatMap(({ ident, grants }) =>
      planRights(`sequence ${ident}`, grants, [{ to: role, rights: ['SELECT', 'USAGE'] }, reading]),
    ),
    ...shared.routines.flatMap(({ signature, grants }) =>
      planRights(`routine ${signature}`, grants, [{ to: role, rights: ['EXECUTE'] }]),
    ),
  ]
}

function planRowSecurity({ ident, rowSecurity, forced }: TableFacts): string[] {
  const actions = [
    ...(rowSecurity ? [] : ['enable row level security']),
    ...(forced ? [] : ['force row level security']),
  ]
  return actions.length === 0 ? [] : [`alter table ${ident} ${actions.join(', ')}`]
}

/** Of these two every table has one each. */
const TENANT_POLICY = 'tenantry_tenant'
const ADMIN_POLICY = 'tenantry_admin'

/** A policy that only we make. */
export function isOurPolicy({ name }: Pick<PolicyFacts, 'name'>): boolean {
  return name === TENANT_POLICY || name === ADMIN_POLICY
}

function desiredPolicies({ ownerRole, owner: ownerIdent, admin }: Parties): DesiredPolicy[] {
  const owner = quoteLiteral(ownerRole)
  return [
    {
      name: TENANT_POLICY,
      roles: ['public'],
      condition: `${TENANT_COLUMN} = (select tenantry.current_tenant())`,
      told: `(${TENANT_COLUMN} = ( SELECT tenantry.current_tenant() AS current_tenant))`,
    },
    {
      // The session's login, since a definer function of the owner's runs as the owner in a tenant's session too.
      name: ADMIN_POLICY,
      roles: [...new Set([ownerIdent, admin])],
      condition: `(select pg_has_role(session_user, ${owner}, 'MEMBER')
        and coalesce(current_setting('app.current_tenant', true), '') = '')`,
      told:
        `( SELECT (pg_has_role(SESSION_USER, ${owner}::name, 'MEMBER'::text) ` +
        `AND (COALESCE(current_setting('app.current_tenant'::text, true), ''::text) = ''::text)))`,
    },
  ]
}

function planPolicy(table: TableFacts, desired: DesiredPolicy): string[] {
  const there = table.policies.find(({ name }) => name === desired.name)
  const isRight =
    there !== undefined &&
    there.permissive &&
    there.command === '*' &&
    there.roles.toSorted().join() === desired.roles.toSorted().join() &&
    isTold(there.using, desired) &&
    isTold(there.check, desired)
  if (isRight) return []
  const create = `create policy ${desired.name} on ${table.ident} for all to ${desired.roles.join(', ')}
    using (${desired.condition}) with check (${desired.condition})`
  return there === undefined ? [create] : [`drop policy ${desired.name} on ${table.ident}`, create]
}

/** Newer servers give every column of a query a name. */
function isTold(condition: string | null, { told }: DesiredPolicy): boolean {
  return condition?.replaceAll(' AS "?column?"', '') === told
}

interface DesiredGrant {
  /** As the server quotes it. */
  readonly to: string
  /** In the order of the alphabet. */
  readonly rights: readonly string[]
}

/** What is too much is taken away, whoever gave it: rights on shared objects are ours alone. */
function planRights(object: string, there: readonly Grant[], desired: readonly DesiredGrant[]): string[] {
  const stay = (grant: Grant): boolean => {
    const rights = desired.find(({ to }) => to === grant.to)?.rights ?? []
    return !grant.odd && (grant.rights ?? []).every((right) => rights.includes(right))
  }
  const kept = there.filter(stay)
  return [
    ...there.filter((grant) => !stay(grant)).map(({ to }) => `revoke all on ${object} from ${to} cascade`),
    ...desired.flatMap(({ to, rights }) => {
      const held = kept.find((grant) => grant.to === to)?.rights ?? []
      const missing = rights.filter((right) => !held.includes(right))
      return missing.length === 0 ? [] : [`grant ${missing.join(', ').toLowerCase()} on ${object} to ${to}`]
    }),
  ]
}
