import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createProject, type SampleProject } from '../cli/run-cli.ts'
import { waitFor } from '../support/wait-for.ts'
import { createProofWorld, MASTER_KEY, type ProofWorld } from './proof-world.ts'

const TIMEOUT = 180_000

let world: ProofWorld
let project: SampleProject
beforeAll(async () => {
  world = await createProofWorld()
  project = createProject(
    { DATABASE_URL: world.db.appUrl, TENANTRY_ADMIN_URL: world.db.adminUrl, TENANTRY_MASTER_KEY: MASTER_KEY },
    { 'migrations/tenant/1_orders.sql': '-- Up Migration\ncreate table orders (note text not null);\n' },
  )
}, TIMEOUT)
afterAll(async () => {
  project.remove()
  await world.close()
})

const KIND = ['--model', 'shared', '--tier', 'guarded'] as const

test(
  'a sound installation: exit code 0, a table for people, a page',
  async () => {
    const { code, stdout, stderr } = await project.run('prove', ...KIND, '--html', 'proof.html')
    // Progress is told there, and nothing else.
    expect(stderr).not.toMatch(/error|TNY/i)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^shared {2}guarded {2}guarded {3}database/m)
    expect(stdout).toMatch(/^S27 +passed +\d+ {2}a forged context in shared tables$/m)
    expect(stdout).toMatch(/attacks on 1 kinds? of tenants: \d+ cases passed, 0 failed\.$/m)
    const page = readFileSync(join(project.folder, 'proof.html'), 'utf8')
    expect(page).toContain('Every wall held.')
    expect(await world.leftovers()).toEqual([])
  },
  TIMEOUT,
)

test(
  'a leak: exit code 1, and the rows seen',
  async () => {
    await world.db.sql('alter table tenant_shared.orders disable row level security')
    const { code, stdout } = await project.run('--json', 'prove', ...KIND)
    const report = JSON.parse(stdout) as {
      ok: boolean
      failed: number
      cases: { case: string; breaches: unknown[] }[]
    }
    expect(code).toBe(1)
    expect(report).toMatchObject({ version: 1, ok: false, failed: 1 })
    expect(report.cases.find((each) => each.case === 'S1')?.breaches).toMatchObject([
      {
        attack: 'reads tenant_shared.orders',
        seen: expect.arrayContaining([expect.stringContaining('canary')]) as string[],
      },
    ])
    const people = await project.run('prove', ...KIND)
    expect(people.code).toBe(1)
    expect(people.stdout).toMatch(/^S1 +FAILED/m)
    expect(people.stdout).toMatch(/seen: .*canary/)
    await world.db.sql('alter table tenant_shared.orders enable row level security')
  },
  TIMEOUT,
)

test(
  'Ctrl-C removes its tenants; after a kill the next run does',
  async () => {
    const started = async (): Promise<ReturnType<SampleProject['start']>> => {
      const running = project.start(['prove', ...KIND])
      await waitFor(async () => (await world.leftovers()).length >= 3, 60_000)
      return running
    }
    const stopped = await started()
    stopped.child.kill('SIGINT')
    expect(await stopped.ended).toMatchObject({ code: 1, signal: null })
    expect(await world.leftovers()).toEqual([])

    const killed = await started()
    killed.child.kill('SIGKILL')
    await killed.ended
    expect((await world.leftovers()).length).toBeGreaterThanOrEqual(3)
    // Its session ends when the server finds its connection closed.
    await waitFor(async () => {
      const locks = await world.db.sql(
        "select 1 from pg_locks where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())",
      )
      return locks.length === 0
    })
    expect((await project.run('prove', ...KIND)).code).toBe(0)
    expect(await world.leftovers()).toEqual([])
  },
  TIMEOUT,
)

test('misuse is told as such', async () => {
  expect(await project.run('prove', '--model', 'cluster')).toMatchObject({ code: 2 })
})
