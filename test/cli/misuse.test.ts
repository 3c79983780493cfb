/** What the command line answers to those who get it wrong, before any database is asked. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createProject, MAIN, type SampleProject } from './run-cli.ts'

// Each command is a process of its own, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let project: SampleProject

beforeAll(() => {
  // An address where nothing answers: whoever asks a database fails with 1, not 2.
  const url = 'postgres://nobody:secret@127.0.0.1:1/none'
  project = createProject({ DATABASE_URL: url, TENANTRY_ADMIN_URL: url })
})
afterAll(() => project.remove())

test('--version and --help leave 0 and print on stdout', async () => {
  const version = await project.run('--version')
  expect(version).toMatchObject({ code: 0, stderr: '' })
  expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  const help = await project.run('tenants', 'create', '--help')
  expect(help).toMatchObject({ code: 0, stderr: '' })
  expect(help.stdout).toContain('Example:')
  expect(help.stdout).toContain('--json')
})

test.each([
  ['an unknown command', ['tenats'], 'Did you mean tenants?'],
  ['an unknown subcommand', ['tenants', 'creat'], 'Did you mean create?'],
  ['an unknown option', ['tenants', 'list', '--bogus'], "unknown option '--bogus'"],
  ['a missing argument', ['tenants', 'create'], "missing required argument 'key'"],
  ['an argument too many', ['tenants', 'show', 'acme', 'globex'], 'too many arguments'],
  ['a status that does not exist', ['tenants', 'list', '--status', 'happy'], 'Allowed choices are'],
  ['a limit that is no number', ['tenants', 'list', '--limit', '-1'], '--limit'],
  ['settings that are no JSON', ['tenants', 'create', 'acme', '--settings', '{a}'], '--settings is no JSON'],
  [
    'settings that are no object',
    ['tenants', 'create', 'acme', '--settings', '[]'],
    '--settings is no JSON object',
  ],
  ['a rename to nothing', ['tenants', 'rename', 'acme'], 'rename needs --to, --name or both'],
  ['exec without a program', ['exec', 'acme'], 'exec names no program after --'],
  ['exec with nothing after --', ['exec', 'acme', '--'], 'exec names no program after --'],
  ['init without a terminal', ['init'], 'no terminal'],
  ['init with something that is no URL', ['init', '--yes', '--url', 'mysql://x'], 'no postgres:// URL'],
  ['a port that is none', ['dev', '--port', '99999'], 'not a port'],
])('%s leaves 2 and says so in one line', async (_, args, text) => {
  const { code, stdout, stderr } = await project.run(...args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toContain(text)
  expect(stderr).toMatch(/^tenantry: TNY030: .*\nhint: .*\n$/)
})

test('a group without a command shows its help on stderr and leaves 2', async () => {
  for (const args of [[], ['tenants']]) {
    const { code, stdout, stderr } = await project.run(...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('Usage: tenantry')
  }
})

const HOSTILE_KEYS = [
  "acme'; drop schema public cascade; --",
  'a"b',
  'ACME',
  'café',
  'a--b',
  '-acme',
  'acme\n',
  'x'.repeat(49),
  'none',
  'public',
  'pg-catalog',
  '',
  '../etc',
  'acme\u001b[2J',
]

test('I4, I5, I6, I7: hostile keys are misuse, and no server is asked', async () => {
  for (const key of HOSTILE_KEYS) {
    const { code, stdout, stderr } = await project.run('tenants', 'create', '--', key)
    expect({ key, code, stdout }).toEqual({ key, code: 2, stdout: '' })
    expect(stderr).toMatch(/^tenantry: TNY105: /)
    expect(stderr.split('\n')).toHaveLength(3)
    expect(stderr).not.toContain('\u001b')
  }
  expect(await project.run('tenants', 'rename', 'acme', '--to=ACME')).toMatchObject({ code: 2 })
})

test('with --json the error is a document on stdout, wherever the option stands', async () => {
  for (const args of [
    ['--json', 'tenants', 'create', 'ACME'],
    ['tenants', 'create', 'ACME', '--json'],
  ]) {
    const { code, stdout, stderr } = await project.run(...args)
    expect(code).toBe(2)
    const { error } = JSON.parse(stdout) as { error: Record<string, string> }
    expect(Object.keys(error)).toEqual(['code', 'message', 'hint'])
    expect(error['code']).toBe('TNY105')
    expect(stderr).toContain('TNY105')
  }
  const { stdout } = await project.run('nonsense', '--json')
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'TNY030' } })
})

test('V2: a server that does not answer leaves 1, with the cause and without the password', async () => {
  const { code, stdout, stderr } = await project.run('tenants', 'list', '--debug', '--json')
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({
    error: { code: 'TNY202', cause: expect.stringContaining('ECONNREFUSED') },
  })
  expect(stderr).toContain('cause: connect ECONNREFUSED')
  expect(stderr).toContain('at ')
  expect(stdout + stderr).not.toContain('secret')
  const plain = await project.run('tenants', 'list')
  expect(plain.stderr).not.toMatch(/^ {4}at /m)
})

test('an older Node gets one clear sentence', () => {
  // The compiled entry, since an older Node cannot read the source; its import is never reached.
  const entry = join(project.folder, 'main.mjs')
  writeFileSync(entry, stripTypeScriptTypes(readFileSync(MAIN, 'utf8')))
  const older =
    'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "22.17.1" } })'
  const run = spawnSync(
    process.execPath,
    ['--import', `data:text/javascript,${encodeURIComponent(older)}`, entry],
    {
      encoding: 'utf8',
    },
  )
  expect(run).toMatchObject({ status: 1, stdout: '' })
  expect(run.stderr).toBe('tenantry: Node.js 22.18 or newer is needed; this is 22.17.1.\n')
})

test('the entry holds nothing that Node 12 could not parse, so that the sentence can be read there', () => {
  const source = stripTypeScriptTypes(readFileSync(MAIN, 'utf8'))
  expect(source).not.toMatch(/^import /m)
  expect(source).not.toMatch(/\?\?|\?\.|#\w/)
  execFileSync(process.execPath, ['--check', '--input-type=module', '-'], { input: source })
})
