/** Reads and writes the domains that tenants claim and have proven. */
import type { Queryable } from '../core/database.ts'

/** A tenant's claim to a domain. */
export interface DomainClaim {
  /** In its canonical form. */
  readonly domain: string
  readonly tenantId: string
  /** What the DNS must say for this tenant, and for no other. */
  readonly token: string
  /** Since when the domain names the tenant; `undefined`: it does not. */
  readonly verifiedAt: Date | undefined
  /** When the DNS was last asked about it. */
  readonly checkedAt: Date | undefined
  /** Since when the DNS has not said it any more. */
  readonly missingSince: Date | undefined
  readonly createdAt: Date
}

/** Which claim is meant. */
type ClaimName = Pick<DomainClaim, 'domain' | 'tenantId'>

const CLAIM = `json_build_object('domain', d.domain, 'tenantId', d.tenant_id, 'token', d.token,
  'verifiedAt', (extract(epoch from d.verified_at) * 1000)::bigint,
  'checkedAt', (extract(epoch from d.checked_at) * 1000)::bigint,
  'missingSince', (extract(epoch from d.missing_since) * 1000)::bigint,
  'createdAt', (extract(epoch from d.created_at) * 1000)::bigint)::text as claim`

/** Adds a claim; one that is there stays as it is, with its token. */
export async function addClaim(
  tx: Queryable,
  claim: Pick<DomainClaim, 'domain' | 'tenantId' | 'token'>,
): Promise<void> {
  await tx.query(
    'insert into tenantry.domains (domain, tenant_id, token) values ($1, $2, $3) on conflict do nothing',
    [claim.domain, claim.tenantId, claim.token],
  )
}

/** All claims to a domain, at most one of them verified. */
export async function findClaims(db: Queryable, domain: string): Promise<DomainClaim[]> {
  return read(db, 'where d.domain = $1 order by d.created_at, d.tenant_id', [domain])
}

/** What a tenant claims, by name. */
export async function listClaims(db: Queryable, tenantId: string): Promise<DomainClaim[]> {
  return read(db, 'where d.tenant_id = $1 order by d.domain', [tenantId])
}

/** Verified domains that were last asked about before `before`; the longest ago first. */
export async function listUnchecked(db: Queryable, before: Date, limit: number): Promise<DomainClaim[]> {
  return read(
    db,
    `where d.verified_at is not null and d.checked_at < to_timestamp($1::float8 / 1000)
     order by d.checked_at, d.domain limit $2`,
    [before.getTime(), limit],
  )
}

/** Waits until nobody else decides about the domain; until the transaction ends nobody will. */
export async function lockDomain(tx: Queryable, domain: string): Promise<void> {
  await tx.query("select pg_advisory_xact_lock(hashtextextended('tenantry:domain:' || $1, 0))", [domain])
}

/** The DNS says so: from the commit on the domain names this tenant. */
export function markVerified(tx: Queryable, claim: ClaimName): Promise<void> {
  return mark(tx, claim, 'verified_at = coalesce(verified_at, now()), missing_since = null')
}

/** The DNS does not say so any more; the domain goes on naming its tenant. */
export function markMissing(tx: Queryable, claim: ClaimName): Promise<void> {
  return mark(tx, claim, 'missing_since = coalesce(missing_since, now())')
}

/** The domain names this tenant no more; the claim stays. */
export function markLost(tx: Queryable, claim: ClaimName): Promise<void> {
  return mark(tx, claim, 'verified_at = null, missing_since = null')
}

/** What the DNS was found to say. */
async function mark(tx: Queryable, { domain, tenantId }: ClaimName, finding: string): Promise<void> {
  await tx.query(
    `update tenantry.domains set ${finding}, checked_at = now() where domain = $1 and tenant_id = $2`,
    [domain, tenantId],
  )
}

/** @returns whether there was one */
export async function removeClaim(tx: Queryable, domain: string, tenantId: string): Promise<boolean> {
  const { rowCount } = await tx.query('delete from tenantry.domains where domain = $1 and tenant_id = $2', [
    domain,
    tenantId,
  ])
  return rowCount === 1
}

async function read(db: Queryable, where: string, values: readonly unknown[]): Promise<DomainClaim[]> {
  const { rows } = await db.query<{ claim: string }>(
    `select ${CLAIM} from tenantry.domains d ${where}`,
    values,
  )
  return rows.map(({ claim }) => {
    const document = JSON.parse(claim) as Record<string, number | null> &
      Pick<DomainClaim, 'domain' | 'tenantId' | 'token'>
    const dateOf = (value: number | null | undefined): Date | undefined =>
      value == null ? undefined : new Date(value)
    return {
      domain: document.domain,
      tenantId: document.tenantId,
      token: document.token,
      verifiedAt: dateOf(document['verifiedAt']),
      checkedAt: dateOf(document['checkedAt']),
      missingSince: dateOf(document['missingSince']),
      createdAt: new Date(document['createdAt'] ?? 0),
    }
  })
}
