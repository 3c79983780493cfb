/** Jobs of tenants in pg-boss: the tenant travels in the data, and a handler runs in its context. */
import type { InsertOptions, Job, JobInsert, JobResult, PgBoss, SendOptions, WorkOptions } from 'pg-boss'
import { isHopeless, type JobTenancy, openJob, tenantJob, tenantJobKey } from './tenant-job.ts'

export type { JobTenancy } from './tenant-job.ts'

/** What of pg-boss is used. */
export type Boss = Pick<PgBoss, 'send' | 'insert' | 'work'>

/** Options of `work`; each job has its own outcome, which rules the other two ways of settling a batch out. */
export type TenantWorkOptions = Omit<
  WorkOptions,
  'perJobResults' | 'transactional' | 'transactionTimeoutSeconds'
>

/** pg-boss for the tenant of the context. */
export interface TenantBoss {
  /**
   * A job for the tenant; the `singletonKey` is its own, by which throttling (`singletonSeconds`) and policies of queues go, and
   * so is the group, for `groupConcurrency`.
   * @throws TNY201
   */
  send(name: string, data?: object | null, options?: SendOptions): Promise<string | null>
  /** The same for several. @throws TNY201 */
  insert(name: string, jobs: JobInsert[], options?: InsertOptions): Promise<string[] | null>
  /**
   * Runs the handler for each job in its tenant's context, with the data as it was given; the jobs of a batch side by
   * side. A job that names no tenant, or one that does not exist (any more), fails at once (TNY221, TNY209), or goes to the
   * dead letter queue; that of a tenant which is not active (TNY211) is retried as the queue is told.
   */
  work<T = unknown>(name: string, handler: (job: Job<T>) => unknown): Promise<string>
  work<T = unknown>(
    name: string,
    options: TenantWorkOptions,
    handler: (job: Job<T>) => unknown,
  ): Promise<string>
}

/**
 * @example
 * const jobs = bossForTenants(tenancy, boss)
 * await jobs.send('send-invoice', { orderId: 7 })
 * await jobs.work('send-invoice', async ({ data }) => sendInvoice(data.orderId))
 */
export function bossForTenants(tenancy: JobTenancy, boss: Boss): TenantBoss {
  const own = <O extends { singletonKey?: string; group?: { id: string } }>(options: O | undefined): O =>
    ({
      group: { id: tenancy.context.require().id },
      ...options,
      // Also where none is given: throttles and policies count all jobs without a key as one.
      singletonKey: tenantJobKey(tenancy, options?.singletonKey ?? ''),
    }) as O

  async function settle<T>(job: Job<unknown>, handler: (job: Job<T>) => unknown): Promise<JobResult> {
    const { id } = job
    let opened
    try {
      opened = await openJob(tenancy, job.data)
    } catch (refusal) {
      return { id, status: isHopeless(refusal) ? 'deadletter' : 'failed', output: refusal }
    }
    const { payload, run } = opened
    try {
      const output = await run(async () => handler({ ...job, data: payload as T }))
      return { id, status: 'completed', output }
    } catch (error) {
      return { id, status: 'failed', output: error }
    }
  }

  return {
    send: async (name, data, options) => boss.send(name, tenantJob(tenancy, data), own(options)),
    async insert(name, jobs, options) {
      const wrapped = jobs.map(({ data, ...rest }) => ({ ...own(rest), data: tenantJob(tenancy, data) }))
      return boss.insert(name, wrapped, options)
    },
    async work<T>(
      name: string,
      ...[first, second]: [TenantWorkOptions | ((job: Job<T>) => unknown), ((job: Job<T>) => unknown)?]
    ) {
      const [options, handler] = typeof first === 'function' ? [{}, first] : [first, second]
      if (handler === undefined) throw new TypeError('work() needs a handler')
      return boss.work<unknown>(name, { ...options, perJobResults: true }, async (jobs) =>
        Promise.all(jobs.map((job) => settle(job, handler))),
      )
    },
  }
}
