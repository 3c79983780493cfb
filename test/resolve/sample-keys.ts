/** API keys in memory: real secrets, of which only the hash is kept, for resolvers that need a directory. */
import { createHash, randomBytes } from 'node:crypto'
import type { ApiKey, ApiKeyDirectory } from '../../src/core/runtime.ts'

/** A directory that issues and revokes. */
export interface SampleKeys extends ApiKeyDirectory {
  /** The secret of a new key. */
  issue(tenantId: string, key?: Partial<ApiKey>): string
  revoke(id: string): void
}

/** @param late whether answers come as promises, as those that a catalog was asked for do */
export function sampleKeys({ late = false } = {}): SampleKeys {
  const byHash = new Map<string, ApiKey>()
  const find = (secret: string): ApiKey | undefined => {
    const key = byHash.get(hashOf(secret))
    return key?.expiresAt !== undefined && key.expiresAt.getTime() <= Date.now() ? undefined : key
  }
  return {
    find: (secret) => (late ? Promise.resolve(find(secret)) : find(secret)),
    issue(tenantId, key = {}) {
      const secret = `tny_${randomBytes(24).toString('base64url')}`
      const id = `key-${byHash.size}`
      byHash.set(hashOf(secret), { id, tenantId, name: id, scopes: [], expiresAt: undefined, ...key })
      return secret
    },
    revoke(id) {
      for (const [hash, key] of byHash) if (key.id === id) byHash.delete(hash)
    },
  }
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
