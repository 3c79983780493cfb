/** Checks what callers give for a tenant, before any SQL. */
import { isTenantId } from '../catalog/tenant-id.ts'
import { TenantryError } from '../core/errors.ts'
import { type Plan, requireNewKey, type Settings, type TenantModel, type TenantTier } from '../core/tenant.ts'

/** What a tenant is made from. */
export interface TenantInput {
  /** The name in addresses; see `requireNewKey`. */
  readonly key: string
  /** The display name, free text of 1 to 200 characters; the key by default. */
  readonly name?: string
  /** 1 to 64 printable ASCII characters; a uuid v7 by default. Never reused. */
  readonly id?: string
  /** `default` by default. */
  readonly plan?: Plan
  /** A JSON object; empty by default. */
  readonly settings?: Settings
  /** Where its rows will be: tables that tenants share, a schema (default) or a database of its own. */
  readonly model?: TenantModel
  /** `guarded` by default; `sealed` (default of the model `database`) needs a master key. */
  readonly tier?: TenantTier
}

const CONTROL = /\p{Cc}/u
const LONGEST_NAME = 200
const LONGEST_PLAN = 64
/** In characters of JSON: settings are read with the tenant at each request that misses the cache. */
const LARGEST_SETTINGS = 65_536

/** @throws TNY105 for the key, TNY308 for the rest. */
export function checkTenantInput(input: TenantInput): void {
  requireNewKey(input.key)
  if (input.id !== undefined && !isTenantId(input.id)) {
    throw invalid('id has 1 to 64 printable ASCII characters without spaces')
  }
  if (input.name !== undefined) checkName(input.name)
  if (input.plan !== undefined) checkText(input.plan, 'plan', LONGEST_PLAN)
  if (input.settings !== undefined) settingsJson(input.settings)
  checkChoice(input.model, 'model', ['shared', 'schema', 'database'])
  checkChoice(input.tier, 'tier', ['guarded', 'sealed'])
}

function checkChoice(value: unknown, field: string, choices: readonly string[]): void {
  if (value === undefined || choices.some((choice) => choice === value)) return
  throw invalid(`${field} is one of ${choices.join(', ')}`)
}

/** @throws TNY308 */
export function checkName(name: unknown): void {
  checkText(name, 'name', LONGEST_NAME)
}

/** @throws TNY308 */
export function checkReason(reason: unknown): void {
  checkText(reason, 'reason', LONGEST_NAME)
}

/** The settings as JSON that PostgreSQL takes. @throws TNY308 */
export function settingsJson(settings: Settings): string {
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) {
    throw invalid('settings is a JSON object')
  }
  const json = stringify(settings)
  if (json.length > LARGEST_SETTINGS)
    throw invalid(`settings has at most ${LARGEST_SETTINGS} characters as JSON`)
  // jsonb holds neither NUL nor halves of a surrogate pair; JSON.stringify writes both as escapes.
  if (/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(json))
    throw invalid('settings holds text that PostgreSQL cannot store')
  return json
}

function stringify(settings: object): string {
  try {
    const json: unknown = JSON.stringify(settings)
    if (typeof json === 'string' && json.startsWith('{')) return json
  } catch (error) {
    throw new TenantryError('TNY308', { params: { reason: 'settings is not JSON' }, cause: error })
  }
  throw invalid('settings is a JSON object')
}

function checkText(value: unknown, field: string, longest: number): void {
  if (typeof value !== 'string' || value.trim() === '') throw invalid(`${field} is empty`)
  if (value.length > longest) throw invalid(`${field} has at most ${longest} characters`)
  if (CONTROL.test(value) || !value.isWellFormed()) throw invalid(`${field} holds control characters`)
}

function invalid(reason: string): TenantryError {
  return new TenantryError('TNY308', { params: { reason } })
}
