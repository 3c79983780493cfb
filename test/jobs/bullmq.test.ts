import { Queue, Worker } from 'bullmq'
import { processorForTenants, queueForTenants } from '../../src/jobs/bullmq.ts'
import { describeJobs } from '../contract/describe-jobs.ts'
import { startRedis } from '../support/redis.ts'

describeJobs('BullMQ', async (_world, tenancy, handle) => {
  const redis = await startRedis()
  const connection = { host: redis.host, port: redis.port, maxRetriesPerRequest: null }
  const bare = new Queue('tasks', { connection, defaultJobOptions: { attempts: 2 } })
  const queue = queueForTenants(tenancy, bare)
  const failures: string[] = []
  const worker = new Worker(
    'tasks',
    processorForTenants(tenancy, async (job) => {
      await handle(job.data, (more) => queue.add('task', more))
    }),
    { connection, concurrency: 4 },
  )
  worker.on('error', () => undefined)
  worker.on('failed', (_job, error) => {
    failures.push(`${'code' in error ? String(error.code) : ''} ${error.message}`)
  })
  await worker.waitUntilReady()
  return {
    failures: () => failures,
    async add(data, key) {
      if (key === undefined) await queue.addBulk([{ name: 'task', data }])
      else await queue.add('task', data, { jobId: key })
    },
    async addStored(stored) {
      await bare.add('task', stored)
    },
    async hurry() {
      await bare.retryJobs({ state: 'failed' })
    },
    async stop() {
      await worker.close()
      await bare.close()
      await redis.stop()
    },
  }
})
