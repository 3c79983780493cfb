/** Ids of tenants: uuid v7 unless the application brings its own. */
import { randomBytes } from 'node:crypto'

/**
 * A uuid of version 7: the time in milliseconds, then 74 random bits, so that ids sort by creation.
 * Made here because PostgreSQL has `uuidv7()` only from 18 on. Source: RFC 9562, 5.7.
 */
export function newTenantId(now = Date.now()): string {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(now, 0, 6)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x70, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** True for what may be an id: 1 to 64 printable ASCII characters without spaces. */
export function isTenantId(id: unknown): id is string {
  return typeof id === 'string' && /^[!-~]{1,64}$/.test(id)
}
