/** Jobs of tenants in BullMQ: the tenant travels in the data, and a processor runs in its context. */
import type { Job, JobsOptions, Processor, Queue } from 'bullmq'
import type { TenantryError } from '../core/errors.ts'
import {
  isHopeless,
  type JobTenancy,
  openJob,
  type TenantJob,
  tenantJob,
  tenantJobKey,
} from './tenant-job.ts'

export type { JobTenancy } from './tenant-job.ts'

/** What of a queue is used. */
export type JobQueue = Pick<Queue, 'add' | 'addBulk'>

/** One job of `addBulk`. */
export interface BulkJob {
  readonly name: string
  readonly data: unknown
  readonly opts?: JobsOptions
}

/** A queue for the tenant of the context. Ids and deduplication are the tenant's own. */
export interface TenantQueue {
  /** @throws TNY201 */
  add(name: string, data: unknown, options?: JobsOptions): Promise<Job>
  /** @throws TNY201 */
  addBulk(jobs: readonly BulkJob[]): Promise<Job[]>
}

/**
 * @example
 * const queue = queueForTenants(tenancy, new Queue('invoices', { connection }))
 * await queue.add('send', { orderId: 7 })
 */
export function queueForTenants(tenancy: JobTenancy, queue: JobQueue): TenantQueue {
  // BullMQ parts its keys with colons, and refuses them in ids.
  const ownId = (id: string): string =>
    tenantJobKey(tenancy, id).replaceAll('%', '%25').replaceAll(':', '%3A')
  const own = (options: JobsOptions): JobsOptions => {
    const { jobId, deduplication } = options
    return {
      ...options,
      ...(jobId !== undefined && { jobId: ownId(jobId) }),
      ...(deduplication !== undefined && {
        deduplication: { ...deduplication, id: ownId(deduplication.id) },
      }),
    }
  }
  return {
    add: async (name, data, options = {}) => queue.add(name, tenantJob(tenancy, data), own(options)),
    addBulk: async (jobs) =>
      queue.addBulk(
        jobs.map(({ name, data, opts = {} }) => ({ name, data: tenantJob(tenancy, data), opts: own(opts) })),
      ),
  }
}

/**
 * A processor that runs in the context of its job's tenant; `job.data` is what was given. A job that names no tenant, or
 * one that does not exist (any more), fails for good (TNY221, TNY209); that of a tenant which is not active (TNY211)
 * takes one of its `attempts`.
 * @example
 * new Worker('invoices', processorForTenants(tenancy, async (job) => sendInvoice(job.data.orderId)), { connection })
 */
export function processorForTenants<T = unknown, R = unknown>(
  tenancy: JobTenancy,
  processor: Processor<T, R>,
): Processor<unknown, R> {
  // BullMQ makes a signal for processors that take one, and looks at how many parameters they have.
  return async (job, token, signal) => {
    const { tenant, payload, run } = await openJob(tenancy, job.data).catch((refusal: unknown) => {
      throw isHopeless(refusal) ? unrecoverable(refusal as TenantryError) : refusal
    })
    return run(async () => processor(withData<T, R>(job, tenant.id, payload as T), token, signal))
  }
}

/** The job with the data that was given. A view: BullMQ itself goes on with what is stored. */
function withData<T, R>(job: Job<unknown, R>, tenantId: string, payload: T): Job<T, R> {
  let data = payload
  const updateData = async (changed: T): Promise<void> => {
    // The job's tenant, not that of whoever changes it: else the next try would be another's.
    await job.updateData({ tenantryTenant: tenantId, payload: changed } satisfies TenantJob<T>)
    data = changed
  }
  return new Proxy(job as Job<T, R>, {
    get(target, name) {
      if (name === 'data') return data
      if (name === 'updateData') return updateData
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** BullMQ knows this error by its name, which spares the import of its class; of an error it keeps the message alone. */
function unrecoverable(refusal: TenantryError): Error {
  const error = new Error(`${refusal.code}: ${refusal.message}`, { cause: refusal })
  error.name = 'UnrecoverableError'
  return error
}
