/** `tenantry init` on servers of its own: it makes logins, which belong to a whole server. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { startEmbedded, type EmbeddedServer } from '../../dev/embedded.ts'
import { createProject, REPOSITORY, type SampleProject } from './run-cli.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let server: EmbeddedServer
let dir: string
let project: SampleProject
let ownerUrl: string

async function sql(text: string, url = server.superuserUrl): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

function urlOf(database: string, user?: string): string {
  const url = new URL(server.superuserUrl)
  url.pathname = `/${database}`
  if (user !== undefined) Object.assign(url, { username: user, password: 'pw' })
  return url.href
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'tenantry-init-'))
  server = await startEmbedded({ dir, settings: { fsync: 'off' } })
})
afterAll(async () => {
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
})
let count = 0
beforeEach(async () => {
  const name = `shop_${(count += 1)}`
  await sql(`create database ${name}`)
  ownerUrl = urlOf(name)
  project = createProject()
})
afterEach(async () => {
  project.remove()
  await sql(`drop database ${new URL(ownerUrl).pathname.slice(1)} with (force)`)
  await sql(`do $$ declare r name; begin
    for r in select rolname from pg_roles where rolname ~ '^tenantry_|^owner_|^other_|^tny_' loop
      execute format('drop owned by %I cascade; drop role %I', r, r);
    end loop; end $$`)
})

test('--yes without a URL adds the files alone, and never overwrites one', async () => {
  project.write('migrations/tenant/0001_own.sql', '-- mine')
  const first = await project.json('init', '--yes')
  expect(first).toEqual({
    files: [
      { path: 'tenantry.config.ts', status: 'created' },
      { path: 'migrations/shared/0001_announcements.sql', status: 'created' },
      { path: 'migrations/tenant', status: 'exists' },
    ],
  })
  project.write('tenantry.config.ts', 'export default {} // mine')
  expect(await project.run('init', '--yes')).toMatchObject({ code: 0, stderr: '' })
  expect(readFileSync(join(project.folder, 'tenantry.config.ts'), 'utf8')).toBe('export default {} // mine')
  expect(readFileSync(join(project.folder, 'migrations/tenant/0001_own.sql'), 'utf8')).toBe('-- mine')
})

test('a CommonJS project gets a configuration that it can load', async () => {
  project.write('package.json', '{ "name": "sample", "type": "commonjs" }')
  expect(await project.run('init', '--yes')).toMatchObject({ code: 0, stderr: '' })
  expect(existsSync(join(project.folder, 'tenantry.config.mts'))).toBe(true)
  const { stderr } = await project.run('migrate', 'status')
  expect(stderr).toContain('TNY035')
})

test('makes both logins from one URL, shows them once, and what it made works to the first tenant', async () => {
  const { code, stdout, stderr } = await project.run('init', '--yes', '--url', ownerUrl)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const urls = Object.fromEntries(
    [...stdout.matchAll(/^(DATABASE_URL|TENANTRY_ADMIN_URL)=(.*)$/gm)].map(([, name, url]) => [name, url]),
  )
  expect(Object.keys(urls)).toEqual(['DATABASE_URL', 'TENANTRY_ADMIN_URL'])
  Object.assign(project.env, urls)
  expect(await project.run('migrate', 'up')).toMatchObject({ code: 0 })
  expect(await project.run('tenants', 'create', 'acme')).toMatchObject({ code: 0 })
  const seen = await project.run(
    ...['exec', 'acme', '--', 'node', '--input-type=module', '-e'],
    `import pg from 'pg'; const c = new pg.Client(); await c.connect()
     console.log((await c.query('select (select count(*) from orders) + (select count(*) from announcements) as n')).rows[0].n)
     await c.end()`,
  )
  expect(seen).toMatchObject({ code: 0, stdout: '0\n' })
  expect(await project.json('doctor')).toMatchObject({ ok: true })
})

test('run twice, it changes no password and says what was there; --rotate changes both', async () => {
  const first = await project.json<Record<string, string>>('init', '--yes', '--url', ownerUrl)
  expect(first).toMatchObject({
    logins: [
      { name: 'tenantry_admin', status: 'set' },
      { name: 'tenantry_app', status: 'set' },
    ],
    enforcement: 'database',
    spared: [],
  })
  const again = await project.run('init', '--yes', '--url', ownerUrl)
  expect(again).toMatchObject({ code: 0, stderr: '' })
  expect(again.stdout).toContain('tenantry_app is there already')
  expect(again.stdout).not.toContain('DATABASE_URL=')
  expect(await sql('select 1 as one', first['databaseUrl'])).toEqual([{ one: 1 }])

  const rotated = await project.json<Record<string, string>>('init', '--yes', '--url', ownerUrl, '--rotate')
  expect(rotated['catalog']).toEqual([])
  expect(await sql('select 1 as one', rotated['databaseUrl'])).toEqual([{ one: 1 }])
  await expect(sql('select 1', first['databaseUrl'])).rejects.toMatchObject({ code: '28P01' })
})

test('V2: --write-env is for this user alone, keeps other lines, and is read by the next command', async () => {
  project.write('.env.local', 'PORT=3000')
  const { code, stdout, stderr } = await project.run(
    'init',
    '--yes',
    '--url',
    ownerUrl,
    '--write-env',
    '.env.local',
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).not.toContain('postgres://')
  const file = join(project.folder, '.env.local')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(readFileSync(file, 'utf8')).toMatch(
    /^PORT=3000\nDATABASE_URL=postgres:.*\nTENANTRY_ADMIN_URL=postgres:.*\nTENANTRY_MASTER_KEY=[\w-]{43}\n$/,
  )
  expect(await project.run('tenants', 'list')).toMatchObject({ code: 0 })
  const rotated = await project.run(
    'init',
    '--yes',
    '--url',
    ownerUrl,
    '--write-env',
    '.env.local',
    '--rotate',
  )
  expect(rotated).toMatchObject({ code: 0 })
  expect(await project.run('tenants', 'list')).toMatchObject({ code: 0 })
})

test('V2: no password goes where git would publish it, nor over another URL', async () => {
  const init = (file: string): ReturnType<SampleProject['run']> =>
    project.run('init', '--yes', '--url', ownerUrl, '--write-env', file)
  project.write('.env.other', 'DATABASE_URL=postgres://legacy:x@localhost/shop')
  expect(await init('.env.other')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('it sets DATABASE_URL already'),
  })

  const git = (...args: string[]): Buffer => execFileSync('git', args, { cwd: project.folder })
  git('init', '--quiet')
  expect(await init('.env')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('git does not ignore it'),
  })
  project.write('.env', '')
  git('add', '.env')
  project.write('.gitignore', '.env*\n')
  expect(await init('.env')).toMatchObject({ code: 1, stderr: expect.stringContaining('git tracks it') })
  expect(await sql("select 1 from pg_roles where rolname ~ '^tenantry_'")).toEqual([])
  expect(await init('.env.local')).toMatchObject({ code: 0 })
})

test('a connection that may not create roles changes nothing, and says what is needed', async () => {
  await sql("create role owner_plain login password 'pw'")
  const { code, stdout, stderr } = await project.run(
    ...['init', '--yes', '--url', urlOf(new URL(ownerUrl).pathname.slice(1), 'owner_plain')],
  )
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toContain('TNY018: This connection may not create roles.')
  expect(await sql("select 1 from pg_roles where rolname ~ '^tenantry_'")).toEqual([])
})

test('logins made by hand, as the reference says, serve as well', async () => {
  const page = readFileSync(join(REPOSITORY, 'docs/reference/configuration.md'), 'utf8')
  const statements = /```sql\n(.*?)```/s.exec(page)?.[1] ?? ''
  const name = new URL(ownerUrl).pathname.slice(1)
  await sql(
    statements.replaceAll('app_database', name).replaceAll(/'a long random password'/g, "'pw'"),
    ownerUrl,
  )
  Object.assign(project.env, {
    DATABASE_URL: urlOf(name, 'tenantry_app'),
    TENANTRY_ADMIN_URL: urlOf(name, 'tenantry_admin'),
  })
  await project.run('init', '--yes')
  expect(await project.run('migrate', 'up')).toMatchObject({ code: 0 })
  expect(await project.run('tenants', 'create', 'acme')).toMatchObject({ code: 0 })
  expect(await project.json('doctor')).toMatchObject({ ok: true })
})

test('hardening spares a database that others use, until it is asked for', async () => {
  await sql("create role other_app login password 'pw'")
  const spared = await project.json<Record<string, unknown>>('init', '--yes', '--url', ownerUrl)
  expect(spared).toMatchObject({ enforcement: 'guard', hardened: [], spared: ['other_app'] })
  const asked = await project.json<Record<string, unknown>>(
    ...['init', '--yes', '--url', ownerUrl, '--enforcement', 'database'],
  )
  expect(asked).toMatchObject({ enforcement: 'database', spared: [] })
  expect(asked['hardened']).toContainEqual('EXECUTE on set_config(text,text,boolean)')
})

test('an owner without superuser gets what the server allows, told truthfully', async () => {
  const name = new URL(ownerUrl).pathname.slice(1)
  await sql("create role owner_managed login createrole password 'pw'")
  await sql(`alter database ${name} owner to owner_managed`)
  const url = urlOf(name, 'owner_managed')
  const made = await project.json<Record<string, string>>('init', '--yes', '--url', url)
  expect(made).toMatchObject({ enforcement: 'guard' })
  Object.assign(project.env, { DATABASE_URL: made['databaseUrl'], TENANTRY_ADMIN_URL: made['adminUrl'] })
  expect(await project.run('migrate', 'up')).toMatchObject({ code: 0 })
  expect(await project.run('tenants', 'create', 'acme')).toMatchObject({ code: 0 })
  expect(await project.json('doctor')).toMatchObject({ ok: true })
  const insists = await project.run('init', '--yes', '--url', url, '--enforcement', 'database')
  expect(insists.code).toBe(1)
  expect(insists.stderr).toContain('--enforcement guard')
})
