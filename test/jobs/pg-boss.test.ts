import { PgBoss } from 'pg-boss'
import { bossForTenants } from '../../src/jobs/pg-boss.ts'
import { describeJobs } from '../contract/describe-jobs.ts'
import { createJobsLogin } from '../support/jobs-login.ts'

describeJobs('pg-boss', async (world, tenancy, handle) => {
  const login = await createJobsLogin(world.db, 'pgboss')
  const boss = new PgBoss({ connectionString: login.url, createSchema: false })
  boss.on('error', () => undefined)
  await boss.start()
  await boss.createQueue('task', { retryLimit: 5, retryDelay: 0 })
  const failures: string[] = []
  const remember = async (): Promise<void> => {
    const rows = await world.db.sql<{ id: string; output: { code?: string; message?: string } }>(
      'select id, output from pgboss.job where output is not null and not (output ? $1)',
      ['value'],
    )
    failures.splice(0, Infinity, ...rows.map(({ output }) => `${output.code} ${output.message}`))
  }
  const timer = setInterval(() => void remember().catch(() => undefined), 100)
  const jobs = bossForTenants(tenancy, boss)
  await jobs.work('task', { batchSize: 20, pollingIntervalSeconds: 0.5 }, async ({ data }) => {
    await handle(data, (more) => jobs.send('task', more as object))
  })
  return {
    failures: () => failures,
    async add(payload, key) {
      if (key === undefined) await jobs.insert('task', [{ data: payload as object }])
      else await jobs.send('task', payload as object, { singletonKey: key })
    },
    async addStored(stored) {
      await boss.send('task', stored as object)
    },
    hurry: () => Promise.resolve(),
    async stop() {
      clearInterval(timer)
      await boss.stop({ graceful: false })
      await login.drop(world.db)
    },
  }
})
