/** API keys of tenants: made, listed, revoked. A secret is shown once and kept nowhere. */
import { randomUUID } from 'node:crypto'
import { addApiKey, type ApiKeyRecord, listApiKeys, revokeApiKey } from '../catalog/api-key-store.ts'
import { hashOfSecret, makeSecret } from '../catalog/api-key-secret.ts'
import type { AdminDatabase } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { printable, type Tenant } from '../core/tenant.ts'
import { requireManaged } from './change-status.ts'

/** What a key is made from. */
export interface CreateApiKey {
  /** What its owner calls it: free text of 1 to 200 characters. */
  readonly name: string
  /** What it may be used for, in the application's own words: at most 100, printable, without spaces. None by default. */
  readonly scopes?: readonly string[]
  /** From then on it is refused; it does not expire by default. */
  readonly expiresAt?: Date
}

/** Tenants are given as a key, an alias or an id. */
export interface ApiKeyAdministration {
  /**
   * Makes a key. The secret is in this answer and nowhere else: the catalog holds its hash.
   * @throws TNY317 before any SQL; TNY302, TNY303
   * @example
   * const { secret } = await control.apiKeys.create('acme', { name: 'import', scopes: ['orders:write'] })
   */
  create(
    tenant: string,
    input: CreateApiKey,
  ): Promise<{ readonly key: ApiKeyRecord; readonly secret: string }>
  /** A tenant's keys, revoked and expired ones too; the oldest first. @throws TNY302 */
  list(tenant: string): Promise<ApiKeyRecord[]>
  /** Within a second it is refused everywhere. Revoked again, it keeps the time. @throws TNY318 */
  revoke(id: string): Promise<ApiKeyRecord>
}

export interface ApiKeyParts {
  readonly db: AdminDatabase
  /** Finds a tenant. @throws TNY302 */
  readonly get: (tenant: string) => Promise<Tenant>
  /** What secrets begin with. */
  readonly prefix: string
}

const LONGEST_NAME = 200
const MOST_SCOPES = 100
const SCOPE = /^[!-~]{1,100}$/
const CONTROL = /\p{Cc}/u

export function createApiKeyAdministration({ db, get, prefix }: ApiKeyParts): ApiKeyAdministration {
  return {
    async create(tenant, input) {
      checkInput(input)
      const { id, key } = await get(tenant)
      const { name, scopes = [], expiresAt } = input
      const made = makeSecret(prefix)
      const record = await db.transaction(async (tx) => {
        await requireManaged(tx, { id, key }, 'api-keys create')
        return addApiKey(tx, {
          id: randomUUID(),
          tenantId: id,
          name,
          scopes: [...new Set(scopes)],
          expiresAt,
          prefix: made.prefix,
          hash: made.hash,
        })
      })
      return { key: record, secret: made.secret }
    },

    async list(tenant) {
      const { id } = await get(tenant)
      return listApiKeys(db, id)
    },

    async revoke(id) {
      const record = typeof id === 'string' && !id.includes('\0') ? await revokeApiKey(db, id) : undefined
      if (record === undefined) throw new TenantryError('TNY318', { params: { id: withoutSecret(id) } })
      return record
    },
  }
}

/** Messages go to logs, and somebody who wants a key revoked may give its secret. */
function withoutSecret(id: string): string {
  return hashOfSecret(id) === undefined ? printable(id) : `${id.slice(0, id.lastIndexOf('_') + 1)}…`
}

/** @throws TNY317 */
function checkInput({ name, scopes = [], expiresAt }: CreateApiKey): void {
  if (typeof name !== 'string' || name.trim() === '') throw invalid('name is empty')
  if (name.length > LONGEST_NAME) throw invalid(`name has at most ${LONGEST_NAME} characters`)
  if (CONTROL.test(name) || !name.isWellFormed()) throw invalid('name holds control characters')
  if (!Array.isArray(scopes) || scopes.length > MOST_SCOPES) {
    throw invalid(`scopes is a list of at most ${MOST_SCOPES}`)
  }
  if (!scopes.every((scope) => typeof scope === 'string' && SCOPE.test(scope))) {
    throw invalid('a scope has 1 to 100 printable ASCII characters without spaces')
  }
  if (expiresAt === undefined) return
  // A date that is none compares as false.
  if (!(expiresAt instanceof Date && expiresAt.getTime() > Date.now())) {
    throw invalid('expiresAt is not a date to come')
  }
}

function invalid(reason: string): TenantryError {
  return new TenantryError('TNY317', { params: { reason } })
}
