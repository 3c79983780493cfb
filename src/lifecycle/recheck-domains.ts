/** Asks the DNS again about domains that were verified, since domains change hands and nobody says so. */
import {
  type DomainClaim,
  findClaims,
  listUnchecked,
  lockDomain,
  markLost,
  markMissing,
  markVerified,
} from '../catalog/domain-store.ts'
import type { AdminDatabase } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { type LookupTxt, readTxt, recordName, systemLookup } from './txt-lookup.ts'

export interface RecheckOptions {
  /** Asks the DNS; the servers of this machine by default. */
  readonly lookup?: LookupTxt
  /** Only those that were not asked about for so long; a day by default. */
  readonly olderThanMs?: number
  /** How long a record may be missing before the domain is taken away; three days by default. */
  readonly graceMs?: number
}

/** What a recheck came to, by domain. */
export interface RecheckReport {
  readonly kept: number
  /** Their record is missing, and they still name their tenant. */
  readonly missing: readonly string[]
  /** They name no tenant any more. */
  readonly lost: readonly string[]
  /** The DNS did not answer, which says nothing: they stay, and are asked about next time. */
  readonly unknown: readonly string[]
}

const DAY_MS = 86_400_000
/** At once; the DNS answers one slow question after the other otherwise. */
const PAGE = 20

/** As `DomainAdministration.recheck`. */
export async function recheck(
  db: AdminDatabase,
  { lookup = systemLookup(), olderThanMs = DAY_MS, graceMs = 3 * DAY_MS }: RecheckOptions = {},
): Promise<RecheckReport> {
  const before = new Date(Date.now() - olderThanMs)
  const found: Record<Outcome, string[]> = { kept: [], missing: [], lost: [], unknown: [] }
  const seen = new Set<string>()
  for (;;) {
    const page = await listUnchecked(db, before, PAGE + found.unknown.length)
    const due = page.filter(({ domain }) => !seen.has(domain))
    if (due.length === 0) break
    await Promise.all(
      due.map(async (claim) => {
        seen.add(claim.domain)
        found[await check(db, claim, lookup, graceMs)].push(claim.domain)
      }),
    )
  }
  return { ...found, kept: found.kept.length }
}

type Outcome = keyof RecheckReport

async function check(
  db: AdminDatabase,
  { domain, tenantId }: DomainClaim,
  lookup: LookupTxt,
  graceMs: number,
): Promise<Outcome> {
  let published: ReadonlySet<string>
  try {
    published = await readTxt(lookup, recordName(domain))
  } catch (error) {
    if (error instanceof TenantryError) return 'unknown'
    throw error
  }
  return db.transaction(async (tx) => {
    await lockDomain(tx, domain)
    // It may have gone over to another tenant, or been given up, since it was listed.
    const claim = (await findClaims(tx, domain)).find((each) => each.tenantId === tenantId)
    if (claim?.verifiedAt === undefined) return 'kept'
    if (published.has(claim.token)) {
      await markVerified(tx, claim)
      return 'kept'
    }
    if (Date.now() - (claim.missingSince?.getTime() ?? Date.now()) >= graceMs) {
      await markLost(tx, claim)
      return 'lost'
    }
    await markMissing(tx, claim)
    return 'missing'
  })
}
