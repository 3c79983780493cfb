import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { withLogin } from '../../src/isolation/logins.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createProject, type SampleProject } from './run-cli.ts'

vi.setConfig({ testTimeout: 60_000 })

const other = `other_${randomBytes(4).toString('hex')}`
let database: TestDatabase
let project: SampleProject
beforeAll(async () => {
  database = await createTestDatabase({ installed: false })
  await database.sql(`create role ${other} login password 'pw'`)
})
afterAll(async () => {
  await database.sql(`drop owned by ${other}; drop role ${other}`)
  await database.drop()
})
beforeEach(() => {
  project = createProject()
})
afterEach(() => project.remove())

async function mayCall(login: string, signature: string): Promise<unknown> {
  const [row] = await database.sql('select has_function_privilege($1, $2, $3) as may', [
    login,
    signature,
    'EXECUTE',
  ])
  return row?.['may']
}

const CONTEXT = 'pg_catalog.set_config(text,text,boolean)'

test('names who loses rights, and changes nothing until that is agreed to', async () => {
  const { code, stdout, stderr } = await project.run('harden', '--url', database.superuserUrl)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toMatch(new RegExp(`These logins lose .*${other}`))
  expect(stderr).toContain('--yes')
  expect(await mayCall(other, CONTEXT)).toBe(true)
})

test('hardens, says what it achieved, keeps whom it is told to keep, and takes it back', async () => {
  const url = database.superuserUrl
  const hardened = await project.json<Record<string, unknown>>(
    'harden',
    '--yes',
    '--url',
    url,
    '--keep',
    other,
  )
  expect(hardened).toMatchObject({
    enforcement: 'database',
    open: [],
    closed: expect.arrayContaining([
      'EXECUTE on set_config(text,text,boolean)',
      'USAGE on language plpgsql',
    ]) as unknown,
    affected: expect.not.arrayContaining([other]) as unknown,
  })
  expect(await mayCall(other, CONTEXT)).toBe(true)
  expect(await mayCall('tenantry_app', CONTEXT)).toBe(true)
  expect(await mayCall('tenantry_sealed', CONTEXT)).toBe(true)
  expect(await mayCall('tenantry_tenants', CONTEXT)).toBe(false)
  const again = await project.run('harden', '--yes', '--url', url)
  expect(again.code).toBe(0)
  expect(again.stdout).toContain('nothing that was open')

  const undone = await project.run('harden', '--undo', '--url', url)
  expect(undone).toMatchObject({ code: 0, stdout: expect.stringMatching(/^enforcement {2}guard/) as unknown })
  expect(await mayCall('tenantry_tenants', CONTEXT)).toBe(true)
})

test('where the server allows less, it says so and ends with 1', async () => {
  await database.sql(`alter database ${database.name} owner to ${other}`)
  const url = withLogin(database.superuserUrl, { name: other, password: 'pw' })
  const { code, stdout } = await project.run('--json', 'harden', '--yes', '--url', url)
  await database.sql(`alter database ${database.name} owner to tenantry_admin`)
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({
    enforcement: 'guard',
    open: expect.arrayContaining(['EXECUTE on set_config(text,text,boolean)']) as unknown,
  })
})

test('without a URL, and nobody to ask, it is misuse; so is what is none', async () => {
  expect(await project.run('harden')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--url') as unknown,
  })
  expect(await project.run('harden', '--url', 'localhost')).toMatchObject({ code: 2 })
})
