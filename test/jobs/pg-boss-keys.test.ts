import { PgBoss } from 'pg-boss'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.ts'
import { bossForTenants } from '../../src/jobs/pg-boss.ts'
import { createJobsLogin, type JobsLogin } from '../support/jobs-login.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

let world: TenantWorld
let tenancy: Tenancy
let login: JobsLogin
let boss: PgBoss
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open()
  login = await createJobsLogin(world.db, 'pgboss')
  boss = new PgBoss({ connectionString: login.url, createSchema: false })
  boss.on('error', () => undefined)
  await boss.start()
})
afterAll(async () => {
  await boss.stop({ graceful: false })
  await login.drop(world.db)
  await world.close()
})

test('A4: what a queue has once, each tenant has once: throttled jobs, and queues with a policy', async () => {
  await boss.createQueue('report')
  await boss.createQueue('waiting-once', { policy: 'short' })
  const jobs = bossForTenants(tenancy, boss)
  const once = { singletonSeconds: 3_600 }
  for (const key of ['acme', 'globex']) {
    const added = await tenancy.run(key, async () => [
      await jobs.send('report', {}, once),
      await jobs.send('report', {}, once),
      await jobs.send('waiting-once', {}),
      await jobs.send('waiting-once', {}),
    ])
    expect(added, key).toEqual([expect.any(String), null, expect.any(String), null])
  }
})
