/** Tokens as issuers make them, and as attackers do. */
import { SignJWT } from 'jose'
import type { JWTPayload } from 'jose'
import type { KeyObject } from 'node:crypto'

export const ISSUER = 'https://id.example.com/'
export const AUDIENCE = 'orders'

/** What a valid token says. */
export function claimsOf(tenant: unknown, others: JWTPayload = {}): JWTPayload {
  const now = Math.floor(Date.now() / 1_000)
  return { iss: ISSUER, aud: AUDIENCE, sub: 'ann', iat: now, exp: now + 600, tenant, ...others }
}

/** Signed with a private key or a secret. */
export function sign(
  claims: JWTPayload,
  key: KeyObject | Uint8Array,
  header: { alg: string; kid?: string },
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ typ: 'JWT', ...header }).sign(key)
}

/** A part of a token from a value. */
export function part(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
}

/** Header lines with a bearer token. */
export const bearer = (token: string): string[] => ['Authorization', `Bearer ${token}`]
