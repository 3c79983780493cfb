import { EventEmitter } from 'node:events'
import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { jobsForTenants, tasksForTenants } from '../../src/jobs/graphile-worker.ts'
import { describeJobs } from '../contract/describe-jobs.ts'
import { createJobsLogin } from '../support/jobs-login.ts'

describeJobs('graphile-worker', async (world, tenancy, handle) => {
  const login = await createJobsLogin(world.db, 'graphile_worker')
  const logger = new Logger(() => () => undefined)
  const shared = { connectionString: login.url, logger }
  const utils = await makeWorkerUtils(shared)
  await utils.migrate()
  const failures: string[] = []
  const events = new EventEmitter().on('job:error', ({ error }: { error: Error }) => {
    failures.push(`${'code' in error ? String(error.code) : ''} ${error.message}`)
  })
  const runner = await run({
    ...shared,
    events,
    concurrency: 4,
    noHandleSignals: true,
    pollInterval: 200,
    taskList: tasksForTenants(tenancy, {
      task: async (payload, helpers) => handle(payload, (more) => helpers.addJob('task', more)),
    }),
  })
  const jobs = jobsForTenants(tenancy, utils)
  return {
    failures: () => failures,
    async add(payload, key) {
      // Both ways in turn.
      if (key === undefined) await jobs.addJobs([{ identifier: 'task', payload }])
      else await jobs.addJob('task', payload, { jobKey: key })
    },
    async addStored(stored) {
      await utils.addJob('task', stored)
    },
    async hurry() {
      await world.db.sql('update graphile_worker._private_jobs set run_at = now() where locked_at is null')
    },
    async stop() {
      await runner.stop()
      await utils.release()
      await login.drop(world.db)
    },
  }
})
