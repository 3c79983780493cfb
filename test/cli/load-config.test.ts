/** Where a command finds its project, and what it makes of the configuration and the environment. */
import { mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { configProblem } from '../../src/core/config.ts'
import { createProject, type SampleProject } from './run-cli.ts'

vi.setConfig({ testTimeout: 120_000 })

let project: SampleProject

beforeEach(() => {
  project = createProject()
})
afterEach(() => project.remove())

/** An address where nothing answers; its port tells which one was used. */
function nowhere(port: number): string {
  return `postgres://u@127.0.0.1:${port}/none`
}

async function portUsed(cwd = project.folder, ...args: string[]): Promise<string | undefined> {
  const { stderr } = await project.start([...args, 'tenants', 'list'], { cwd }).ended
  return /127\.0\.0\.1:(\d+)/.exec(stderr)?.[1]
}

test('the configuration is found upward, and --config names another one', async () => {
  project.write('tenantry.config.ts', `export default { admin: '${nowhere(11)}' }`)
  project.write('other/elsewhere.ts', `export default { admin: '${nowhere(12)}' }`)
  mkdirSync(join(project.folder, 'a/b'), { recursive: true })
  expect(await portUsed(join(project.folder, 'a/b'))).toBe('11')
  expect(await portUsed(project.folder, '--config', 'other/elsewhere.ts')).toBe('12')
})

test('the configuration wins over the environment, that over .env.local, and that over .env', async () => {
  project.write('.env', `TENANTRY_ADMIN_URL=${nowhere(21)}\n`)
  expect(await portUsed()).toBe('21')
  project.write('.env.local', `TENANTRY_ADMIN_URL=${nowhere(22)}\n`)
  expect(await portUsed()).toBe('22')
  project.env['TENANTRY_ADMIN_URL'] = nowhere(23)
  expect(await portUsed()).toBe('23')
  project.write('tenantry.config.ts', `export default { admin: '${nowhere(24)}' }`)
  expect(await portUsed()).toBe('24')
  project.write('tenantry.config.ts', 'export default { admin: process.env.OTHER_URL }')
  project.write('.env', `OTHER_URL=${nowhere(25)}\n`)
  expect(await portUsed()).toBe('25')
})

test.each([
  ['no file', undefined, 'TNY003', 'tenantry init'],
  ['nothing configured', 'export default {}', 'TNY035', 'tenantry dev'],
  ['a syntax error', 'export default {', 'TNY004', 'tenantry.config.ts'],
  ['an error of its own', 'throw new Error("no such thing")', 'TNY004', 'no such thing'],
  ['no default export', 'export const config = {}', 'TNY004', 'no default export'],
  ['a misspelt option', 'export default { migration: {} }', 'TNY002', '`migration` does not exist'],
  ['TypeScript that cannot be stripped', 'enum A { b }\nexport default {}', 'TNY004', 'enum'],
])('%s is one clear error', async (_, content, code, text) => {
  if (content !== undefined) project.write('tenantry.config.ts', content)
  const { code: exit, stdout, stderr } = await project.run('tenants', 'list')
  expect({ exit, stdout }).toEqual({ exit: 1, stdout: '' })
  expect(stderr).toMatch(new RegExp(`^tenantry: ${code}: `, 'm'))
  expect(stderr).toContain(text)
})

test('a file that --config names must exist', async () => {
  const { code, stderr } = await project.run('--config', 'missing.ts', 'doctor')
  expect(code).toBe(1)
  expect(stderr).toContain(
    `TNY004: The configuration file ${join(realpathSync(project.folder), 'missing.ts')}`,
  )
})

test('half a configuration asks for the other half', async () => {
  project.env['DATABASE_URL'] = nowhere(31)
  const { code, stderr } = await project.run('tenants', 'list')
  expect(code).toBe(1)
  expect(stderr).toContain('TNY001: No admin connection is configured.')
})

test.each<[unknown, string | undefined]>([
  [{}, undefined],
  [{ connection: 'postgres://x', admin: { host: 'h' }, seed: () => undefined, embedded: {} }, undefined],
  [{ migrations: { shared: undefined, tenant: 'x' } }, undefined],
  ['x', 'the default export is not an object'],
  [[], 'the default export is not an object'],
  [{ seed: 1 }, '`seed` is neither a function nor a path'],
  [{ migrations: { tenant: { folder: 'x', format: 'prisma' } } }, undefined],
  [
    { migrations: { tenant: { folder: 'x', format: 'flyway' } } },
    '`migrations` says no `folder` for `tenant`, or no `format` of node-pg-migrate, prisma, drizzle, knex, mikro-orm, typeorm',
  ],
  [{ migrations: 'x' }, '`migrations` is not an object of shared and tenant'],
  [{ migrations: { tenants: 'x' } }, '`migrations` has no option `tenants` (there is shared, tenant)'],
  [{ embedded: { dir: '' } }, '`embedded` says no path for `dir`'],
  [{ admin: 1 }, '`admin` is neither a URL nor an object of options'],
  [{ constructor: 1 }, expect.stringContaining('`constructor` does not exist')],
])('configProblem(%o) is %o', (config, problem) => {
  expect(configProblem(config)).toEqual(problem)
})
