/** What a tenant is: its record, its status, its home, and the rule for its key. */
import { TenantryError } from './errors.ts'

/** Open for the application's own types: declare `plan` and `settings` here to type them everywhere.
 * @example
 * declare module 'tenantry' { interface Register { plan: 'free' | 'pro'; settings: { locale: string } } }
 */
// oxlint-disable-next-line typescript/no-empty-interface -- users merge their types into it
export interface Register {}

/** The plan's type: `Register['plan']` where the application declares one, else any string. */
export type Plan = Register extends { plan: infer P extends string } ? P : string

/** The settings' type: `Register['settings']` where the application declares one, else a JSON object. */
export type Settings = Register extends { settings: infer S extends object } ? S : Record<string, unknown>

/** `active` tenants are served; every other status has an answer of its own (docs/reference/http.md). */
export type TenantStatus = 'provisioning' | 'active' | 'suspended' | 'moving' | 'archived' | 'erased'

/** How a tenant's rows are kept apart: in tables that tenants share, in a schema of its own, in a database of its own. */
export type TenantModel = 'shared' | 'schema' | 'database'

/**
 * What holds a tenant in where the SQL guard has let something through. `guarded`: the runtime login enters its role, and
 * could leave it. `sealed`: a login of its own, which has nowhere else to go.
 */
export type TenantTier = 'guarded' | 'sealed'

/** Where a tenant's rows live. Stored in the catalog, never derived from the key. */
export interface Home {
  readonly model: TenantModel
  readonly tier: TenantTier
  /** The database, where it is the tenant's own; `undefined`: that of the catalog. */
  readonly database?: string | undefined
  /** The schema of the tenant's tables, unquoted. In the shared model all tenants have the same. */
  readonly schema: string
  /** The role that statements of the tenant run as; guarded tenants of the shared model have one together. */
  readonly role: string
  /** The NOLOGIN role that owns the tenant's objects; migrations run as it. */
  readonly ownerRole: string
  /** Of a sealed tenant: which master key the secret of its login comes from. */
  readonly keyId?: string | undefined
  /** Grows each time the home changes. */
  readonly epoch: number
}

/** One customer of the SaaS, as the catalog knows it. */
export interface Tenant {
  /** uuid v7 unless the application brought its own; never reused. */
  readonly id: string
  /** The name in addresses: `acme`. */
  readonly key: string
  /** Former keys that still resolve. */
  readonly aliases: readonly string[]
  /** The display name: free text. */
  readonly name: string
  readonly status: TenantStatus
  /** What the operator wrote when the status changed; for the tenant's own people, not for strangers. */
  readonly statusReason?: string | undefined
  readonly plan: Plan
  readonly home: Home
  /**
   * How far its tables are: the number in the name of the newest tenant migration that ran (1700000000000 of
   * `1700000000000_create-orders`), 0 where none has. Tenants that share tables have one version together.
   */
  readonly version: number
  readonly settings: Settings
  readonly createdAt: Date
}

/** The longest key, in characters: with the prefix `tenant_` a schema name stays under PostgreSQL's 63 bytes. */
export const MAX_KEY_LENGTH = 48

const KEY = /^[a-z0-9]+(-[a-z0-9]+)*$/

/**
 * Keys that no tenant may have: names that PostgreSQL or DNS treat specially, and hosts that a SaaS needs itself.
 * Roles and schemas are prefixed all the same, so that this list is for people, not the wall.
 */
const RESERVED = new Set(
  (
    'admin api app assets auth blog catalog cdn central console current-role current-user dashboard default ' +
    'docs ftp help imap information-schema internal localhost login mail none ns1 ns2 null pg pop postgres ' +
    'private public session-user shared smtp static status support system template0 template1 tenant ' +
    'tenantry test undefined webmail www'
  ).split(' '),
)

/** Why a key is not valid, or `undefined` where it is. Pure: no SQL, so that bad keys never reach it. */
export function keyProblem(key: unknown): string | undefined {
  if (typeof key !== 'string' || key === '') return 'it is empty'
  if (key.length > MAX_KEY_LENGTH) return `it is longer than ${MAX_KEY_LENGTH} characters`
  if (!KEY.test(key)) return 'only a-z, 0-9 and single hyphens between them are allowed'
  return undefined
}

/** The form of ids; a key like it could be taken for another tenant's id wherever either is accepted. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Why a key may not be given to a new tenant: `keyProblem`, a reserved word, or the form of an id. */
export function newKeyProblem(key: unknown): string | undefined {
  const problem = keyProblem(key)
  if (problem !== undefined) return problem
  if (RESERVED.has(key as string) || (key as string).startsWith('pg-')) return 'it is reserved'
  if (UUID.test(key as string)) return 'it looks like an id'
  return undefined
}

/**
 * Checks a key for a new tenant and returns it.
 * @throws TNY105 where it is not valid; the offending text is shortened and made printable.
 */
export function requireNewKey(key: unknown): string {
  const reason = newKeyProblem(key)
  if (reason !== undefined) throw new TenantryError('TNY105', { params: { key: printable(key), reason } })
  return key as string
}

/** Hostile text made fit for one line of a log: at most 60 characters, control characters escaped. */
export function printable(value: unknown): string {
  return JSON.stringify(String(value).slice(0, 60)).slice(1, -1)
}
