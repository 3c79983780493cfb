/** Jobs that are added in a tenant's own transaction, as docs/guides/background-jobs.md tells. */
import { Logger, makeWorkerUtils, runOnce } from 'graphile-worker'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.ts'
import { tasksForTenants } from '../../src/jobs/graphile-worker.ts'
import { createJobsLogin, type JobsLogin } from '../support/jobs-login.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { waitFor } from '../support/wait-for.ts'

const OUTBOX = (owner: string): string => `
  create function public.add_job(task text, payload json) returns void
    language sql security definer set search_path = pg_catalog, pg_temp
  as $$
    select graphile_worker.add_job(task,
      json_build_object('tenantryTenant', tenantry.current_tenant(), 'payload', payload))
  $$;
  alter function public.add_job owner to ${owner};
  grant usage on schema tenantry to ${owner};
  grant execute on function tenantry.current_tenant() to ${owner};
  grant execute on function public.add_job to public`

let world: TenantWorld
let tenancy: Tenancy
let login: JobsLogin
const logger = new Logger(() => () => undefined)
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open()
  login = await createJobsLogin(world.db, 'graphile_worker')
  const utils = await makeWorkerUtils({ connectionString: login.url, logger })
  await utils.migrate()
  await utils.release()
  await world.db.sql(OUTBOX(login.name))
})
afterAll(async () => {
  await login.drop(world.db)
  await world.close()
})

async function work(): Promise<unknown[]> {
  const ran: unknown[] = []
  await runOnce({
    connectionString: login.url,
    logger,
    noHandleSignals: true,
    taskList: tasksForTenants(tenancy, {
      task: async (payload) => {
        const { rows } = await tenancy.pool.query<{ owner: string }>('select distinct owner from orders')
        ran.push([rows[0]?.owner, payload])
      },
    }),
  })
  // The outcome is written a moment after the run.
  await waitFor(async () => {
    const locked = await world.db.sql('select from graphile_worker._private_jobs where locked_at is not null')
    return locked.length === 0
  })
  return ran
}

const ADD = `select public.add_job('task', $1)`

test('A1: a job is committed with the rows of its transaction, or not at all, and is its tenant’s', async () => {
  await tenancy.run('acme', async () => {
    await tenancy.transaction((client) => client.query(ADD, [{ kept: true }]))
    const failed = tenancy.transaction(async (client) => {
      await client.query(ADD, [{ kept: false }])
      throw new Error('on purpose')
    })
    await expect(failed).rejects.toThrow('on purpose')
  })
  await tenancy.run('globex', () => tenancy.pool.query(ADD, [{ from: 'globex' }]))
  expect(await work()).toEqual([
    ['acme', { kept: true }],
    ['globex', { from: 'globex' }],
  ])
})

test('S27: a tenant cannot add a job for another: the database names the tenant', async () => {
  const { id } = world.tenants['globex'] ?? {}
  await tenancy.run('acme', async () => {
    const set = tenancy.pool.query(`set local app.current_tenant = '${id}'`)
    await expect(set).rejects.toMatchObject({ code: 'TNY204' })
    const bare = tenancy.pool.query(`select graphile_worker.add_job('task')`)
    await expect(bare).rejects.toMatchObject({ code: '42501' })
    await tenancy.pool.query(ADD, [{ tenantryTenant: id, payload: 'looks like one' }])
  })
  // Past the guard, as acme's role: the context has no proof, so that the job names nobody, and never runs.
  const unguarded = new pg.Client(world.db.appUrl)
  await unguarded.connect()
  await unguarded.query(`begin; set local role "${world.tenants['acme']?.home.role}";
    set local app.current_tenant = '${id}'; select public.add_job('task', '{"forged":true}'); commit`)
  await unguarded.end()
  expect(await work()).toEqual([['acme', { tenantryTenant: id, payload: 'looks like one' }]])
  expect(await world.db.sql('select payload, last_error from graphile_worker._private_jobs')).toEqual([
    {
      payload: { tenantryTenant: null, payload: { forged: true } },
      last_error: expect.stringContaining('names no tenant'),
    },
  ])
})
