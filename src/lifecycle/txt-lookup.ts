/** Asks the DNS for the TXT records of a name, and never waits for ever. */
import { Resolver } from 'node:dns/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { TenantryError } from '../core/errors.ts'

/** Gives the TXT records of a name, each in its pieces, as `resolveTxt` of node:dns does, and rejects with its codes. */
export type LookupTxt = (name: string) => Promise<readonly (readonly string[])[]>

/** One question to one server, and all of them together. */
const ONE_QUESTION_MS = 2_000
const ALL_MS = 8_000

/** There is no such name, or it has no such record (node:dns, "Error codes"): an answer. All else is none. */
const NO_RECORD = new Set(['ENOTFOUND', 'ENODATA'])

/** A name of its own, so that the records of the host itself need not be touched, and a CNAME there does no harm. */
export function recordName(domain: string): string {
  return `_tenantry.${domain}`
}

/** The servers of this machine. */
export function systemLookup(): LookupTxt {
  const resolver = new Resolver({ timeout: ONE_QUESTION_MS, tries: 2 })
  return (name) => resolver.resolveTxt(name)
}

/**
 * The values of a name's TXT records; none where the DNS says that there are none.
 * @throws TNY315 where it says nothing
 */
export async function readTxt(lookup: LookupTxt, name: string): Promise<ReadonlySet<string>> {
  const ended = new AbortController()
  try {
    const records = await Promise.race([
      lookup(name),
      sleep(ALL_MS, undefined, { signal: ended.signal }).then(() => {
        throw new Error(`no answer within ${ALL_MS} ms`)
      }),
    ])
    return new Set(records.map((pieces) => pieces.join('')))
  } catch (error) {
    if (NO_RECORD.has((error as NodeJS.ErrnoException | undefined)?.code ?? '')) return new Set()
    const reason = error instanceof Error ? error.message : String(error)
    throw new TenantryError('TNY315', { params: { name, reason }, cause: error })
  } finally {
    ended.abort()
  }
}
