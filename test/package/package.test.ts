/** The package as its users get it: packed, installed with `pg` and nothing else, imported by every public name. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }

const root = join(import.meta.dirname, '../..')
const run = promisify(execFile)
// npm, npx and what they start use the Node that runs this test.
const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` }

const subpaths = Object.keys(manifest.exports).filter((path) => path !== './package.json')
const optionalPeers = Object.keys(manifest.peerDependenciesMeta)
/** Adapters are named for their peer, but where its name would say nothing as a subpath. */
const PEERS: Readonly<Record<string, string>> = {
  './drizzle': 'drizzle-orm',
  './mikro-orm': '@mikro-orm/postgresql',
  './nest': '@nestjs/common',
  './prisma': '@prisma/adapter-pg',
}

let folder: string
let project: string
let packed: string[]

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tenantry-package-'))
  project = join(folder, 'project')
  await mkdir(project)
  await writeFile(join(project, 'package.json'), '{ "name": "user", "private": true, "type": "module" }')

  const pack = await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root, env })
  const tarball = join(folder, pack.stdout.trim().split('\n').at(-1) ?? '')
  const list = await run('tar', ['-tf', tarball])
  packed = list.stdout.trim().split('\n')

  const { version } = JSON.parse(await readFile(join(root, 'node_modules/pg/package.json'), 'utf8')) as {
    version: string
  }
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error']
  await run('npm', ['install', ...flags, tarball, `pg@${version}`], { cwd: project, env })
}, 240_000)

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

test('the tarball holds the build, the sources its maps lead to and the licence, and no tests', () => {
  expect(packed).toEqual(expect.arrayContaining(['package/LICENSE', 'package/package.json']))
  expect(packed.filter((path) => /^package\/(test|bench|scripts|examples|\.)/.test(path))).toEqual([])
  for (const map of packed.filter((path) => path.endsWith('.js.map'))) {
    expect(packed).toContain(map.replace('package/dist/', 'package/').replace('.js.map', '.ts'))
  }
})

/** Imports and requires one public name in the user's project; both must give the same. */
async function load(subpath: string): Promise<string[]> {
  const name = subpath.replace('.', 'tenantry')
  const script = `
    const imported = await import('${name}')
    const { createRequire } = await import('node:module')
    const required = createRequire(process.cwd() + '/')('${name}')
    console.log(JSON.stringify([Object.keys(imported).sort(), Object.keys(required).sort()]))`
  const args = ['--input-type=module', '--eval', script]
  const { stdout } = await run(process.execPath, args, { cwd: project, env })
  const [imported, required] = JSON.parse(stdout) as [string[], string[]]
  // Node marks modules that were required from CommonJS.
  expect(required.filter((key) => key !== '__esModule')).toEqual(imported)
  return imported
}

describe('with pg and no other peer', () => {
  test('the optional peers are really absent', async () => {
    for (const peer of optionalPeers) {
      await expect(readFile(join(project, 'node_modules', peer, 'package.json'))).rejects.toThrow('ENOENT')
    }
  })

  test.each(subpaths)('%s loads, or names the one package that it needs', async (subpath) => {
    const outcome = await load(subpath).catch((error: Error) => error)
    if (!(outcome instanceof Error)) return expect(outcome).not.toEqual([])
    // Only an adapter may need a peer, and only the one that it is named for.
    const peer = PEERS[subpath] ?? subpath.slice(2)
    expect(optionalPeers).toContain(peer)
    expect(outcome.message).toContain(`Cannot find package '${peer}'`)
  })

  test('npx tenantry --help', async () => {
    const { stdout } = await run('npx', ['--no-install', 'tenantry', '--help'], { cwd: project, env })
    expect(stdout).toContain('tenants')
    expect(stdout).toContain('migrate')
  })
})

describe('with the optional peers', () => {
  beforeAll(async () => {
    for (const peer of optionalPeers) {
      const place = join(project, 'node_modules', peer)
      await mkdir(dirname(place), { recursive: true })
      await symlink(join(root, 'node_modules', peer), place)
    }
  })

  test.each(subpaths)('%s loads', async (subpath) => {
    expect(await load(subpath)).not.toEqual([])
  })
})

// Without skipLibCheck, as strict users compile: a type that only our devDependencies know is an error here.
test('the declarations compile for a user of TypeScript', async () => {
  const types = join(project, 'node_modules/@types')
  await mkdir(types, { recursive: true })
  await symlink(join(root, 'node_modules/@types/node'), join(types, 'node')).catch(() => undefined)
  const lines = ["import * as tenantry from 'tenantry'", 'export const names = Object.keys(tenantry)']
  await writeFile(join(project, 'user.ts'), lines.join('\n'))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const options = '--noEmit --strict --module nodenext --target es2024 --types node user.ts'.split(' ')
  const result = await run(process.execPath, [tsc, ...options], { cwd: project, env }).then(
    () => '',
    (error: Error & { stdout?: string }) => error.stdout || error.message,
  )
  expect(result).toBe('')
})
