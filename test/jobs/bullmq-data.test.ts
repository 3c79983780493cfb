import { Queue, Worker } from 'bullmq'
import { expect, test } from 'vitest'
import { processorForTenants, queueForTenants } from '../../src/jobs/bullmq.ts'
import { sampleTenancy, sampleTenant } from '../http/sample-tenancy.ts'
import { startRedis } from '../support/redis.ts'
import { waitFor } from '../support/wait-for.ts'

test('A2: a job whose data is changed stays its tenant’s, whoever the changing code acts for', async () => {
  const [acme, globex] = [sampleTenant('acme'), sampleTenant('globex')]
  const tenancy = sampleTenancy([acme, globex])
  const { context } = tenancy
  const redis = await startRedis()
  const connection = { host: redis.host, port: redis.port, maxRetriesPerRequest: null }
  const bare = new Queue('tasks', { connection, defaultJobOptions: { attempts: 2 } })
  const ran: unknown[] = []
  const processor = processorForTenants<{ try: number }>(tenancy, async (job) => {
    ran.push([context.require().key, job.data.try])
    if (ran.length === 2) return
    await context.run(globex, async () => job.updateData({ try: 2 }))
    throw new Error('on purpose')
  })
  const worker = new Worker('tasks', processor, { connection })
  worker.on('error', () => undefined)
  try {
    await context.run(acme, () => queueForTenants(tenancy, bare).add('task', { try: 1 }))
    await waitFor(() => ran.length === 2)
    expect(ran).toEqual([
      ['acme', 1],
      ['acme', 2],
    ])
  } finally {
    await worker.close()
    await bare.close()
    await redis.stop()
  }
})
