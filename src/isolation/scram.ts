/** Passwords that PostgreSQL never sees: a random secret, and the SCRAM-SHA-256 verifier that proves it. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'

/** 256 random bits as text that needs no quoting in a URL. */
export function newPassword(): string {
  return randomBytes(32).toString('base64url')
}

/**
 * What `CREATE ROLE … PASSWORD` stores for a password, computed here: sent instead of the password, it keeps the
 * latter out of the server's log and pg_stat_activity (V2).
 * Source: RFC 5802, section 3, and PostgreSQL's `pg_authid.rolpassword`.
 * @param password ASCII, so that SASLprep leaves it as it is.
 * @param iterations PostgreSQL's default is 4096; the server accepts any count.
 */
export function scramVerifier(password: string, iterations = 4096, salt = randomBytes(16)): string {
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256')
  const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest('base64')
  const serverKey = hmac(salted, 'Server Key').toString('base64')
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
