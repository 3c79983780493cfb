/** What a domain of a tenant's own may look like: one form only, so that two spellings cannot be two tenants'. */
import { domainToASCII } from 'node:url'
import { TenantryError } from './errors.ts'
import { printable } from './tenant.ts'

/** With `_tenantry.` before it, a name in the DNS has at most 253 characters. */
const LONGEST = 243

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
/** Two labels or more, the last beginning with a letter that no number begins with: nearly every domain that comes. */
const USUAL = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/
/** Browsers read a last label like this as an IPv4 address in disguise (WHATWG URL, "ends in a number"). */
const NUMBER = /^(\d+|0x[0-9a-f]*)$/

/** Why a domain is not valid in its canonical form, or `undefined` where it is. Pure: no SQL, no DNS. */
export function domainProblem(domain: unknown): string | undefined {
  if (typeof domain !== 'string' || domain === '') return 'it is empty'
  if (domain.length > LONGEST) return `it is longer than ${LONGEST} characters`
  if (USUAL.test(domain)) return undefined
  const labels = domain.split('.')
  if (labels.includes('*')) return 'a wildcard names no host'
  if (!/^[\0-\x7f]*$/.test(domain)) return strangeLetters(domain)
  if (!labels.every((label) => LABEL.test(label)))
    return 'it is not a host name in lower case, without port or path'
  if (labels.length === 1) return 'it has one label only'
  return NUMBER.test(labels.at(-1) as string) ? 'it is an IP address, or looks like one' : undefined
}

function strangeLetters(domain: string): string {
  const ascii = domainToASCII(domain)
  const advice = ascii === '' ? '' : `; browsers send "${printable(ascii)}"`
  return `it has letters outside ASCII${advice}`
}

/**
 * Checks a domain that somebody typed, and brings it into its one form: upper case and a trailing dot are forgiven.
 * @throws TNY110
 */
export function requireDomain(given: unknown): string {
  // Of ASCII letters alone: the Kelvin sign would become a k.
  const domain =
    typeof given === 'string'
      ? given.replace(/[A-Z]/g, (letter) => letter.toLowerCase()).replace(/\.$/, '')
      : given
  const reason = domainProblem(domain)
  if (reason !== undefined) {
    throw new TenantryError('TNY110', { params: { domain: printable(given), reason } })
  }
  return domain as string
}

/** Whether a host is one of these, or below one. */
export function isWithin(host: string, roots: readonly string[]): boolean {
  return roots.some((root) => host === root || host.endsWith(`.${root}`))
}
