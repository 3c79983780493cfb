import { expect, test } from 'vitest'
import { openJob } from '../../src/jobs/tenant-job.ts'
import { sampleTenancy, sampleTenant } from '../http/sample-tenancy.ts'

const stored = { tenantryTenant: 'id-of-nomad', payload: 7 }

test('a job of a tenant that is being moved waits for the end of the move, as requests do', async () => {
  const tenancy = sampleTenancy([sampleTenant('nomad', 'moving')])
  const opening = openJob(tenancy, stored)
  tenancy.change('nomad', 'active')
  const { tenant, payload } = await opening
  expect([tenant.status, payload]).toEqual(['active', 7])
})

test('where the move takes too long it is refused, and is no hopeless job', async () => {
  const tenancy = sampleTenancy([sampleTenant('nomad', 'moving')], { timeoutMs: 1, maxPerTenant: 1 })
  await expect(openJob(tenancy, stored)).rejects.toMatchObject({ code: 'TNY108' })
})
