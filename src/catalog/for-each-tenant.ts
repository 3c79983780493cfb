/** Work for every tenant, one after the other or several at once: nightly jobs, reports, clean-up. */
import type { TenantContext } from '../core/context.ts'
import { TenantryError } from '../core/errors.ts'
import type { TenantDirectory } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'
import type { TenantPage } from './tenant-store.ts'

/** How the tenants are gone through. */
export interface ForEachTenantOptions {
  /** How many tenants are worked for at once; 4 by default. Their statements share the connections of `max`. */
  readonly concurrency?: number
  /** Once it is aborted no tenant is begun any more, and statements of those under way are stopped. */
  readonly signal?: AbortSignal
  /** Hears of each tenant that is done, failed or skipped. One that throws is reported as a process warning. */
  readonly onProgress?: (progress: TenantProgress) => void
  /** How many tenants are read from the catalog at a time; 100 by default. */
  readonly pageSize?: number
}

/** What has just happened to one tenant, and how far all is. */
export interface TenantProgress {
  readonly tenant: Tenant
  readonly outcome: 'done' | 'failed' | 'skipped'
  /** What `fn` threw. */
  readonly error?: unknown
  readonly done: number
  readonly failed: number
  readonly skipped: number
}

/** A tenant that `fn` threw for. */
export interface TenantFailure {
  readonly tenant: { readonly id: string; readonly key: string }
  readonly error: unknown
}

/** What became of all tenants. */
export interface ForEachTenantReport {
  readonly done: number
  /** How many failed; `failures` holds the first of them. */
  readonly failed: number
  /** Not active any more when their turn came. */
  readonly skipped: number
  /** In the order in which they failed, at most 1,000: with many tenants a fault of the code is a fault for all. */
  readonly failures: readonly TenantFailure[]
  /** False where the signal ended it before the last tenant. */
  readonly complete: boolean
}

/** What it stands on. */
export interface ForEachTenantParts {
  readonly context: TenantContext
  readonly directory: TenantDirectory
  list(page: TenantPage): Promise<readonly Tenant[]>
}

const MOST_FAILURES = 1_000

/**
 * Runs `fn` once for each active tenant, in its context, in the order of keys. One that throws does not keep the others
 * from their turn. Tenants are read a page at a time: one that is created meanwhile is met if its key is yet to come,
 * and one that is suspended before its turn is skipped. One that is being moved is waited for, as by `run()`.
 * @throws TNY002 for an option that is not valid; TNY202 where the catalog cannot be read any more: then what is under
 * way ends first.
 */
export async function forEachTenant(
  parts: ForEachTenantParts,
  fn: (tenant: Tenant) => unknown,
  options: ForEachTenantOptions = {},
): Promise<ForEachTenantReport> {
  const { context, directory } = parts
  const concurrency = positive('concurrency', options.concurrency ?? 4)
  const pageSize = positive('pageSize', options.pageSize ?? 100)
  const signal = options.signal ?? context.signal()
  const counts = { done: 0, failed: 0, skipped: 0 }
  const failures: TenantFailure[] = []

  async function workFor(listed: Tenant): Promise<void> {
    try {
      const tenant = await directory.settled({ id: listed.id }, signal)
      if (tenant?.status !== 'active') return tell(listed, 'skipped')
      await context.run(tenant, async () => fn(tenant), { signal })
    } catch (error) {
      const { id, key } = listed
      if (failures.length < MOST_FAILURES) failures.push({ tenant: { id, key }, error })
      return tell(listed, 'failed', error)
    }
    tell(listed, 'done')
  }

  function tell(tenant: Tenant, outcome: TenantProgress['outcome'], error?: unknown): void {
    counts[outcome] += 1
    try {
      options.onProgress?.({ tenant, outcome, ...(error !== undefined && { error }), ...counts })
    } catch (failure) {
      process.emitWarning(failure instanceof Error ? failure : String(failure))
    }
  }

  const tenants = activeTenants(parts, pageSize)
  let complete = false
  async function work(): Promise<void> {
    while (signal?.aborted !== true) {
      // Several ask one generator: it answers in turn.
      const next = await tenants.next()
      if (next.done === true) {
        complete = true
        return
      }
      await workFor(next.value)
    }
  }

  const ends = await Promise.allSettled(Array.from({ length: concurrency }, work))
  const broken = ends.find((end) => end.status === 'rejected')
  if (broken !== undefined) throw broken.reason
  return { ...counts, failures, complete }
}

/** A tenant that is being moved is an active one in a moment: a nightly job must not pass it over. */
async function* activeTenants(parts: ForEachTenantParts, limit: number): AsyncGenerator<Tenant, void> {
  for (let after = ''; ;) {
    const page = await parts.list({ statuses: ['active', 'moving'], after, limit })
    yield* page
    after = page.at(-1)?.key ?? ''
    if (page.length < limit) return
  }
}

function positive(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new TenantryError('TNY002', { params: { reason: `\`${name}\` is not a whole number above 0` } })
}
