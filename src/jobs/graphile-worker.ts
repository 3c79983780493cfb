/** Jobs of tenants in graphile-worker: the tenant travels in the payload, and a task runs in its context. */
import type { AddJobFunction, AddJobsFunction, AddJobsJobSpec, JobHelpers, TaskList } from 'graphile-worker'
import { type JobTenancy, openJob, tenantJob, tenantJobKey } from './tenant-job.ts'

export type { JobTenancy } from './tenant-job.ts'

/** What adds jobs: worker utils, a runner, the helpers of a task. */
export interface JobAdder {
  readonly addJob: AddJobFunction
  readonly addJobs: AddJobsFunction
}

/**
 * `addJob` and `addJobs` for the tenant of the context, otherwise as they are. A `jobKey` is the tenant's own.
 * @throws by the returned functions: TNY201
 * @example
 * const { addJob } = jobsForTenants(tenancy, await makeWorkerUtils({ connectionString }))
 * await addJob('send-invoice', { orderId: 7 })
 */
export function jobsForTenants(tenancy: JobTenancy, adder: JobAdder): JobAdder {
  const ownKey = <S extends { jobKey?: string }>(spec: S): S =>
    spec.jobKey === undefined ? spec : { ...spec, jobKey: tenantJobKey(tenancy, spec.jobKey) }
  const addJob: AddJobFunction = async (identifier, payload, spec) =>
    adder.addJob(identifier, tenantJob(tenancy, payload) as never, spec && ownKey(spec))
  const addJobs: AddJobsFunction = async (specs, preserveRunAt) => {
    const own = specs.map((spec): AddJobsJobSpec => ({
      ...ownKey(spec),
      payload: tenantJob(tenancy, spec.payload),
    }))
    return adder.addJobs(own, preserveRunAt)
  }
  return { addJob, addJobs }
}

/**
 * Tasks that run in the context of their job's tenant, with the payload as it was given, and whose helpers add jobs for
 * that tenant. A job that names no tenant, or one that is not served, fails (TNY221, TNY209, TNY211) and is retried as
 * graphile-worker does.
 * @example
 * run({ connectionString, taskList: { ...tasksForTenants(tenancy, { sendInvoice }), nightly } })
 */
export function tasksForTenants(tenancy: JobTenancy, tasks: TaskList): TaskList {
  const wrapped = Object.entries(tasks).map(([name, task]): [string, TaskList[string]] => [
    name,
    async (stored: unknown, helpers: JobHelpers) => {
      const { payload, run } = await openJob(tenancy, stored)
      const own = Object.assign(Object.create(helpers) as JobHelpers, {
        ...jobsForTenants(tenancy, helpers),
        job: { ...helpers.job, payload },
      })
      return run(() => task?.(payload, own))
    },
  ])
  return Object.fromEntries(wrapped)
}
