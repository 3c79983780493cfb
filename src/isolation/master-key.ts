/** The secrets of sealed tenants' logins: derived from a master key that the application holds, and stored nowhere. */
import { hkdfSync, randomBytes } from 'node:crypto'
import { TenantryError } from '../core/errors.ts'

/** The master keys of a process: the first is for new secrets, the others for those that were made before. */
export interface Keyring {
  /** Names the newest key without telling anything of it. @throws TNY021 where there is none */
  readonly newest: string
  /** The same, or `undefined`. */
  findNewest(): string | undefined
  /** Whether secrets that were made with it can be derived. */
  knows(keyId: string): boolean
  /**
   * The password of a tenant's login.
   * @param keyId names the master key that it was made with.
   * @throws TNY021 where there is no master key at all, TNY022 where this one is not there.
   */
  secretOf(tenantId: string, keyId: string): string
}

/** Half a kilobyte of text would do no harm; less than this is a password, which can be guessed. */
const SHORTEST = 32

/**
 * @param keys one or several keys, separated by commas where it is one text, the newest first.
 * @throws TNY002 where one is shorter than 32 characters.
 * @example
 * const keyring = createKeyring(process.env.TENANTRY_MASTER_KEY)
 */
export function createKeyring(keys: string | readonly string[] | undefined): Keyring {
  const given = (typeof keys === 'string' ? keys.split(',') : (keys ?? [])).map((key) => key.trim())
  const known = new Map<string, string>()
  for (const key of given.filter((text) => text !== '')) {
    if (key.length < SHORTEST) {
      const reason = `a master key has ${key.length} characters, and needs at least ${SHORTEST}`
      throw new TenantryError('TNY002', { params: { reason } })
    }
    known.set(derive(key, '', 'tenantry key id').subarray(0, 8).toString('hex'), key)
  }
  const findNewest = (): string | undefined => known.keys().next().value
  return {
    get newest() {
      const id = findNewest()
      if (id === undefined) throw new TenantryError('TNY021')
      return id
    },
    findNewest,
    knows: (keyId) => known.has(keyId),
    secretOf(tenantId, keyId) {
      const key = known.get(keyId)
      if (key !== undefined) return derive(key, tenantId, 'tenantry login').toString('base64url')
      throw known.size === 0
        ? new TenantryError('TNY021')
        : new TenantryError('TNY022', { params: { key: keyId } })
    },
  }
}

/** 256 bits, so that an iteration count would add nothing (FINDINGS 17). Source: RFC 5869. */
function derive(key: string, salt: string, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, info, 32))
}

/** A master key for whoever has none: 256 random bits. */
export function newMasterKey(): string {
  return randomBytes(32).toString('base64url')
}
