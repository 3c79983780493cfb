/** Domains of tenants' own: claimed by anybody, naming a tenant only once the DNS says that they are its. */
import { randomBytes } from 'node:crypto'
import {
  addClaim,
  type DomainClaim,
  findClaims,
  listClaims,
  lockDomain,
  markVerified,
  markLost,
  removeClaim,
} from '../catalog/domain-store.ts'
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { isWithin, requireDomain } from '../core/domain.ts'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'
import { requireManaged } from './change-status.ts'
import { recheck, type RecheckOptions, type RecheckReport } from './recheck-domains.ts'
import { type LookupTxt, readTxt, recordName, systemLookup } from './txt-lookup.ts'

/** A tenant's domain, and what proves it. */
export interface TenantDomain extends Omit<DomainClaim, 'token'> {
  /** What the owner of the domain publishes, and leaves there. */
  readonly record: { readonly type: 'TXT'; readonly name: string; readonly value: string }
}

/** Whose claim is looked at. A domain alone: that of the tenant whose token the DNS holds. */
export type DomainToVerify = string | { readonly tenant: string; readonly domain: string }

export interface VerifyOptions {
  /** Asks the DNS; the servers of this machine by default. */
  readonly lookup?: LookupTxt
}

/** Tenants are given as a key, an alias or an id. */
export interface DomainAdministration {
  /**
   * Claims a domain for a tenant, and gives the record that proves it. Others may claim it too: a claim takes nothing from
   * anybody. Claimed again, it stays as it is.
   * @throws TNY110 where it is no domain or one of the service's own; TNY302, TNY303
   * @example
   * const { record } = await control.domains.add('acme', 'shop.acme.com')
   * console.log(`${record.name} TXT ${record.value}`) // _tenantry.shop.acme.com TXT tenantry-…
   */
  add(tenant: string, domain: string): Promise<TenantDomain>
  /**
   * Asks the DNS, and lets the domain name the tenant from then on. Where the DNS holds this tenant's token and no longer
   * that of the tenant before, the domain has changed hands, and goes over.
   * @throws TNY313 where it is another tenant's and the DNS still says so, TNY314 where the record is not there, TNY315
   * where the DNS does not answer; TNY110, TNY302, TNY303, TNY316
   */
  verify(target: DomainToVerify, options?: VerifyOptions): Promise<TenantDomain>
  /** A tenant's claims and domains, by name. @throws TNY302 */
  list(tenant: string): Promise<TenantDomain[]>
  /** Gives a claim up; its token proves nothing any more. @throws TNY110, TNY302, TNY316 */
  remove(tenant: string, domain: string): Promise<void>
  /**
   * Asks the DNS about verified domains again, and takes those away whose record is gone for longer than `graceMs`: whoever
   * let a domain go must not keep it here. Meant for a daily job.
   */
  recheck(options?: RecheckOptions): Promise<RecheckReport>
}

export interface DomainParts {
  readonly db: AdminDatabase
  /** Finds a tenant. @throws TNY302 */
  readonly get: (tenant: string) => Promise<Tenant>
  /** Hosts of the service's own, in canonical form. */
  readonly roots: readonly string[]
}

export function createDomainAdministration({ db, get, roots }: DomainParts): DomainAdministration {
  return {
    async add(tenant, given) {
      const domain = requireForeign(requireDomain(given), roots)
      const { id, key } = await get(tenant)
      return db.transaction(async (tx) => {
        await requireManaged(tx, { id, key }, 'domains add')
        // 128 bits, for this tenant alone: what proves it to one proves nothing to another.
        await addClaim(tx, { domain, tenantId: id, token: `tenantry-${randomBytes(16).toString('hex')}` })
        return describe(requireClaim(await findClaims(tx, domain), domain, id))
      })
    },

    async verify(target, { lookup = systemLookup() } = {}) {
      const domain = requireForeign(requireDomain(typeof target === 'string' ? target : target.domain), roots)
      const tenant = typeof target === 'string' ? undefined : await get(target.tenant)
      // Before the DNS is asked: names that nobody claims must not be looked up for whoever asks.
      requireClaim(await findClaims(db, domain), domain, tenant?.id)
      const published = await readTxt(lookup, recordName(domain))
      return db.transaction(async (tx) => {
        await lockDomain(tx, domain)
        return describe(await settle(tx, domain, published, tenant?.id))
      })
    },

    async list(tenant) {
      const { id } = await get(tenant)
      return (await listClaims(db, id)).map(describe)
    },

    async remove(tenant, given) {
      const domain = requireDomain(given)
      const { id } = await get(tenant)
      if (!(await removeClaim(db, domain, id))) throw new TenantryError('TNY316', { params: { domain } })
    },

    recheck: (options) => recheck(db, options),
  }
}

/** Decides by what the DNS has said; the caller holds the domain's lock. */
async function settle(
  tx: Queryable,
  domain: string,
  published: ReadonlySet<string>,
  tenantId: string | undefined,
): Promise<DomainClaim> {
  const claims = await findClaims(tx, domain)
  const holder = claims.find(({ verifiedAt }) => verifiedAt !== undefined)
  const proven = claims.filter(({ token }) => published.has(token))
  const claim = requireClaim(tenantId === undefined ? pick(proven, holder, claims) : claims, domain, tenantId)
  if (!published.has(claim.token)) throw notProven(claim, 'the record is not there, or holds something else')
  if (holder !== undefined && holder.tenantId !== claim.tenantId) {
    if (published.has(holder.token)) throw new TenantryError('TNY313', { params: { domain } })
    await markLost(tx, holder)
  }
  await requireManaged(tx, { id: claim.tenantId, key: claim.tenantId }, 'domains verify')
  await markVerified(tx, claim)
  return requireClaim(await findClaims(tx, domain), domain, claim.tenantId)
}

/** Of claims that the DNS proves, the one that is meant where nobody said. @throws TNY314 */
function pick(
  proven: readonly DomainClaim[],
  holder: DomainClaim | undefined,
  claims: readonly DomainClaim[],
): readonly DomainClaim[] {
  const kept = proven.filter(({ tenantId }) => tenantId === holder?.tenantId)
  if (kept.length === 1) return kept
  if (proven.length === 1) return proven
  const [claim] = claims
  if (claim === undefined) return claims
  const reason =
    proven.length === 0
      ? 'the record is not there, or holds something else'
      : 'there are records of several tenants: say which of them is meant'
  throw notProven(claim, reason)
}

function requireClaim(
  claims: readonly DomainClaim[],
  domain: string,
  tenantId: string | undefined,
): DomainClaim {
  const claim = claims.find((each) => tenantId === undefined || each.tenantId === tenantId)
  if (claim === undefined) throw new TenantryError('TNY316', { params: { domain } })
  return claim
}

/** @throws TNY110 */
function requireForeign(domain: string, roots: readonly string[]): string {
  if (!isWithin(domain, roots)) return domain
  throw new TenantryError('TNY110', { params: { domain, reason: 'it is one of the service’s own' } })
}

function notProven({ domain }: DomainClaim, reason: string): TenantryError {
  return new TenantryError('TNY314', { params: { domain, reason, name: recordName(domain) } })
}

function describe({ token, ...claim }: DomainClaim): TenantDomain {
  return { ...claim, record: { type: 'TXT', name: recordName(claim.domain), value: token } }
}
