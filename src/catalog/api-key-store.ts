/** Reads and writes API keys; of a secret, only its hash comes here. */
import type { Queryable } from '../core/database.ts'
import type { ApiKey } from '../core/runtime.ts'

/** An API key as its tenant's administrators see it. */
export interface ApiKeyRecord extends ApiKey {
  /** The beginning of the secret, to tell keys apart by. */
  readonly prefix: string
  readonly createdAt: Date
  /** Since when it is refused; `undefined`: it was not revoked. */
  readonly revokedAt: Date | undefined
}

interface ApiKeyDocument {
  readonly id: string
  readonly tenantId: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly expiresAt: number | null
}

interface RecordDocument extends ApiKeyDocument {
  readonly prefix: string
  readonly createdAt: number
  readonly revokedAt: number | null
}

const RECORD = `json_build_object('id', a.id, 'tenantId', a.tenant_id, 'name', a.name, 'prefix', a.prefix,
  'scopes', a.scopes, 'createdAt', (extract(epoch from a.created_at) * 1000)::bigint,
  'expiresAt', (extract(epoch from a.expires_at) * 1000)::bigint,
  'revokedAt', (extract(epoch from a.revoked_at) * 1000)::bigint)::text as record from tenantry.api_keys a`

/**
 * The key with this hash, unless it was revoked; as the runtime login, which can ask for one and list none.
 * @param hash SHA-256 of the secret, in hexadecimal digits
 */
export async function findApiKey(db: Queryable, hash: string): Promise<ApiKey | undefined> {
  const { rows } = await db.query<{ key: string | null }>(
    "select tenantry.find_api_key(decode($1, 'hex')) as key",
    [hash],
  )
  const found = rows[0]?.key
  return found == null ? undefined : toKey(JSON.parse(found) as ApiKeyDocument)
}

/** What a key is made from. */
export interface NewApiKey extends ApiKey {
  readonly prefix: string
  /** SHA-256 of the secret, in hexadecimal digits. */
  readonly hash: string
}

/** Adds a key. */
export async function addApiKey(tx: Queryable, key: NewApiKey): Promise<ApiKeyRecord> {
  const { id, tenantId, name, hash, prefix, scopes, expiresAt } = key
  await tx.query(
    `insert into tenantry.api_keys (id, tenant_id, name, hash, prefix, scopes, expires_at)
     values ($1, $2, $3, decode($4, 'hex'), $5, $6::text[], to_timestamp($7::float8 / 1000))`,
    [id, tenantId, name, hash, prefix, scopes, expiresAt?.getTime() ?? null],
  )
  const [record] = await read(tx, 'where a.id = $1', [id])
  return record as ApiKeyRecord
}

/** A tenant's keys, revoked and expired ones too; the oldest first. */
export async function listApiKeys(db: Queryable, tenantId: string): Promise<ApiKeyRecord[]> {
  return read(db, 'where a.tenant_id = $1 order by a.created_at, a.id', [tenantId])
}

/** Revokes a key; one that was revoked keeps the time. @returns `undefined` where there is none */
export async function revokeApiKey(db: Queryable, id: string): Promise<ApiKeyRecord | undefined> {
  await db.query('update tenantry.api_keys set revoked_at = now() where id = $1 and revoked_at is null', [id])
  return (await read(db, 'where a.id = $1', [id]))[0]
}

async function read(db: Queryable, where: string, values: readonly unknown[]): Promise<ApiKeyRecord[]> {
  const { rows } = await db.query<{ record: string }>(`select ${RECORD} ${where}`, values)
  return rows.map(({ record }) => {
    const document = JSON.parse(record) as RecordDocument
    return {
      ...toKey(document),
      prefix: document.prefix,
      createdAt: new Date(document.createdAt),
      revokedAt: document.revokedAt === null ? undefined : new Date(document.revokedAt),
    }
  })
}

function toKey({ id, tenantId, name, scopes, expiresAt }: ApiKeyDocument): ApiKey {
  return { id, tenantId, name, scopes, expiresAt: expiresAt === null ? undefined : new Date(expiresAt) }
}
