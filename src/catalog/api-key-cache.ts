/** API keys in memory, by the hash of their secret: a revocation counts within a second, an end at once. */
import type { ApiKey, ApiKeyDirectory } from '../core/runtime.ts'
import { hashOfSecret } from './api-key-secret.ts'
import type { CatalogChange } from './catalog-change.ts'
import { CatalogMemory, type CatalogMemoryOptions } from './catalog-memory.ts'

/** What the cache stands on. */
export interface ApiKeyCacheOptions extends Omit<CatalogMemoryOptions<ApiKey>, 'namesOf'> {
  /** Reads a key that was not revoked from the catalog in one round trip, by its hash in hexadecimal digits. */
  load(hash: string): Promise<ApiKey | undefined>
}

/** The directory of API keys of a running process. */
export class ApiKeyCache implements ApiKeyDirectory {
  readonly #options: ApiKeyCacheOptions
  readonly #memory: CatalogMemory<ApiKey>

  constructor(options: ApiKeyCacheOptions) {
    this.#options = options
    this.#memory = new CatalogMemory(options)
  }

  /** Without a promise where memory knows; what cannot be a secret is not looked up. @throws what `load` throws, TNY112 */
  find(secret: string): ApiKey | undefined | Promise<ApiKey | undefined> {
    const hash = hashOfSecret(secret)
    if (hash === undefined) return undefined
    const found = this.#memory.locate(hash, () => this.#options.load(hash))
    return found instanceof Promise ? found.then(unlessExpired) : unlessExpired(found)
  }

  /** Forgets the key that a change names. */
  changed({ tenantId, name }: CatalogChange): void {
    if (tenantId === undefined) this.#memory.clear()
    else if (name !== undefined) this.#memory.forget(name, [])
  }
}

function unlessExpired(key: ApiKey | undefined): ApiKey | undefined {
  return key?.expiresAt !== undefined && key.expiresAt.getTime() <= Date.now() ? undefined : key
}
