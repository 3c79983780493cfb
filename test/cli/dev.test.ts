/** `tenantry dev`: a server for a project, found by its other commands, gone with the command. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { findServerProcesses } from '../../dev/processes.ts'
import { createProject, ORDERS, type Running, type SampleProject } from './run-cli.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

interface Ready {
  readonly databaseUrl: string
  readonly adminUrl: string
  readonly port: number
  readonly pid: number
}

let project: SampleProject
let started: Running[]

beforeEach(() => {
  project = createProject(
    {},
    { 'tenantry.config.ts': 'export default {}', 'migrations/tenant/0001_orders.sql': ORDERS },
  )
  started = []
})
afterEach(async () => {
  for (const { child, ended } of started) {
    child.kill('SIGKILL')
    await ended
  }
  await vi.waitFor(() => expect(serverProcesses()).toEqual([]), 20_000)
  project.remove()
})

function serverProcesses(): number[] {
  return findServerProcesses(join(project.folder, '.tenantry/postgres18/data'))
}

async function dev(args: readonly string[] = [], ipc = false): Promise<{ running: Running; ready: Ready }> {
  const running = project.start(['dev', '--json', ...args], { ipc })
  started.push(running)
  await running.says('"databaseUrl"')
  expect(running.stdout().trimEnd()).not.toContain('\n')
  return { running, ready: JSON.parse(running.stdout()) as Ready }
}

async function ask(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

test('serves the project until SIGTERM, and the next start finds data and passwords', async () => {
  const { running, ready } = await dev()
  expect(ready.pid).toBe(running.child.pid)
  expect(statSync(join(project.folder, '.tenantry/logins.json')).mode & 0o777).toBe(0o600)
  expect(await project.run('tenants', 'create', 'acme')).toMatchObject({ code: 0, stderr: '' })
  await ask(ready.adminUrl, 'select 1')
  const second = await project.run('dev')
  expect(second).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('TNY014') })

  running.child.kill('SIGTERM')
  expect(await running.ended).toMatchObject({ code: 0 })
  expect(serverProcesses()).toEqual([])
  const late = await project.run('tenants', 'list')
  expect(late).toMatchObject({ code: 1, stderr: expect.stringContaining('TNY017') })

  const { ready: next } = await dev()
  expect(next.databaseUrl).toBe(ready.databaseUrl)
  const { tenants } = await project.json<{ tenants: { key: string }[] }>('tenants', 'list')
  expect(tenants.map(({ key }) => key)).toEqual(['acme'])
  const deeper = join(project.folder, 'migrations/tenant')
  const found = project.start(['tenants', 'show', 'acme'], { cwd: deeper })
  expect(await found.ended).toMatchObject({ code: 0 })
})

test('the end of the IPC channel ends it, Ctrl-C sent twice at once too; --reset starts afresh', async () => {
  const { running } = await dev([], true)
  await project.run('tenants', 'create', 'acme')
  running.child.disconnect()
  expect(await running.ended).toMatchObject({ code: 0 })
  expect(serverProcesses()).toEqual([])

  const { running: again } = await dev(['--reset'])
  expect(await project.json('tenants', 'list')).toEqual({ tenants: [] })
  again.child.kill('SIGINT')
  again.child.kill('SIGINT')
  expect(await again.ended).toMatchObject({ code: 0, stderr: expect.stringContaining('stopping PostgreSQL') })
  expect(serverProcesses()).toEqual([])
})

test('the server that dies takes the command with it, with one clear sentence', async () => {
  const { running } = await dev()
  const [pid = 0] = serverProcesses().filter((found) => found !== running.child.pid)
  for (const found of serverProcesses()) {
    try {
      process.kill(found, 'SIGKILL')
    } catch (error) {
      // A backend that has ended since it was listed.
      expect(error).toMatchObject({ code: 'ESRCH' })
    }
  }
  expect(pid).toBeGreaterThan(0)
  const { code, stderr } = await running.ended
  expect(code).toBe(1)
  expect(stderr).toContain('TNY010')
})

test('a migration that fails does not take the server away', async () => {
  project.write('migrations/shared/0001_broken.sql', '-- Up Migration\ncreate table a (b no_such_type);\n')
  const { running } = await dev()
  await running.says('TNY402')
  expect(await project.run('tenants', 'list')).toMatchObject({ code: 0 })
})

test('URLs that are configured win over the embedded server', async () => {
  await dev()
  project.env['TENANTRY_ADMIN_URL'] = 'postgres://nobody@127.0.0.1:1/none'
  expect(await project.run('tenants', 'list')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('TNY202'),
  })
  expect(existsSync(join(project.folder, '.tenantry'))).toBe(true)
})
