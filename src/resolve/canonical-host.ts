/** The one form of a host name, so that no two spellings of an address can mean different tenants. */
import { isIPv4, isIPv6 } from 'node:net'
import { TenantryError } from '../core/errors.ts'

/** A host in its only form: lower case, without port, trailing dot or brackets. */
export interface CanonicalHost {
  /** `acme.example.com`, `127.0.0.1` or `::1`. */
  readonly name: string
  /** True for IPv4 and IPv6 literals, which never name a tenant. */
  readonly isAddress: boolean
}

/** 253 characters of name, a trailing dot, and `:65535` (RFC 1035, section 2.3.4). */
const MAX_LENGTH = 253 + 1 + 6

const BRACKETED = /^\[([0-9a-fA-F:.]+)\](?::(\d{0,5}))?$/
const NAMED = /^([0-9a-zA-Z_.-]+?)\.?(?::(\d{0,5}))?$/
const LABELS = /^[0-9a-z_]([0-9a-z_-]{0,61}[0-9a-z_])?(\.[0-9a-z_]([0-9a-z_-]{0,61}[0-9a-z_])?)*$/
/** Browsers read a last label like this as an IPv4 address in disguise (WHATWG URL, "ends in a number"). */
const NUMBER = /^(\d+|0x[0-9a-f]*)$/

function refuse(reason: string): never {
  throw new TenantryError('TNY102', { params: { reason } })
}

function checkPort(port: string | undefined): void {
  if (port !== undefined && Number(port) > 65_535) refuse('the port of its host is not valid')
}

/**
 * Brings the value of a Host header into its one form, or refuses it. Nothing is repaired that two programs could
 * read in two ways: user information, `%`, spaces, commas, non-ASCII letters and odd IPv4 notations are refused.
 *
 * @param text a host with or without port (RFC 9110, section 7.2)
 * @throws TNY102
 * @example
 * canonicalHost('ACME.Example.com.:8080') // { name: 'acme.example.com', isAddress: false }
 */
export function canonicalHost(text: string): CanonicalHost {
  if (text === '') refuse('its host is empty')
  if (text.length > MAX_LENGTH) refuse('its host is too long')
  if (text.startsWith('[')) return ipv6Host(text)

  // Most come without a port, in lower case: nothing is taken off.
  const name = LABELS.test(text) ? text : bareName(text)
  if (name.length > 253) refuse('its host is not a host name')
  if (!NUMBER.test(name.slice(name.lastIndexOf('.') + 1))) return { name, isAddress: false }
  if (!isIPv4(name)) refuse('its host is neither a name nor an IPv4 address')
  return { name, isAddress: true }
}

function bareName(text: string): string {
  const match = NAMED.exec(text)
  if (match === null) refuse('its host holds characters that no host name has')
  checkPort(match[2])
  const name = (match[1] as string).toLowerCase()
  if (!LABELS.test(name)) refuse('its host is not a host name')
  return name
}

function ipv6Host(text: string): CanonicalHost {
  const match = BRACKETED.exec(text)
  if (match === null || !isIPv6(match[1] as string)) refuse('its host is not an IPv6 address')
  checkPort(match[2])
  return { name: new URL(`http://[${match[1]}]`).hostname.slice(1, -1), isAddress: true }
}
