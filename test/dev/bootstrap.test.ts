/** bootstrap.mjs in a project of its own with nothing to install: who gets which signal, code and argument. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { until } from './held-server.ts'

const ROOT = join(import.meta.dirname, '../..')

function makeProject(script: string, packages: Record<string, unknown> = {}): string {
  const root = mkdtempSync(join(tmpdir(), 'tenantry-bootstrap-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  mkdirSync(join(root, 'node_modules'))
  copyFileSync(join(ROOT, 'bootstrap.mjs'), join(root, 'bootstrap.mjs'))
  writeFileSync(join(root, 'package-lock.json'), JSON.stringify({ packages: { '': {}, ...packages } }))
  writeFileSync(join(root, 'node_modules/.package-lock.json'), JSON.stringify({ packages: {} }))
  writeFileSync(join(root, 'file.ts'), script)
  return root
}

function run(
  root: string,
  args: string[] = [],
  flags: string[] = [],
): { child: ChildProcess; said: () => string } {
  const env = {
    ...process.env,
    npm_lifecycle_event: undefined,
    npm_execpath: undefined,
    TENANTRY_PARENT: undefined,
  }
  const child = spawn(process.execPath, [...flags, join(root, 'bootstrap.mjs'), ...args], {
    cwd: tmpdir(),
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (text: Buffer) => (said += text.toString()))
  return { child, said: () => said }
}

const TELL = `console.log(JSON.stringify([process.argv.slice(2), process.cwd(), process.execArgv]))`

test.for([[[]], [['--conditions=tenantry-dev']]])(
  'arguments, folder, condition and exit code are passed on, with flags %j',
  async ([flags]) => {
    const root = makeProject(`const code: number = 5; ${TELL}; process.exitCode = code`)
    const { child, said } = run(root, ['file.ts', 'one', '--two'], flags)
    expect(await once(child, 'close')).toEqual([5, null])
    expect(JSON.parse(said())).toEqual([['one', '--two'], tmpdir(), ['--conditions=tenantry-dev']])
  },
)

test('each signal is passed on once, and a death by signal is passed up', async () => {
  const root = makeProject(`
    let seen: string[] = []
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => seen.push(name))
    process.on('SIGUSR2', () => { console.log(seen.join()); process.removeAllListeners('SIGTERM'); process.kill(process.pid, 'SIGTERM') })
    setInterval(() => undefined, 1000)
    console.log('pid', process.pid)`)
  const { child, said } = run(root, ['file.ts'])
  await until(() => said().includes('pid'))
  const inner = Number(/pid (\d+)/.exec(said())?.[1])
  for (const name of ['SIGINT', 'SIGINT', 'SIGHUP', 'SIGTERM'] as const) {
    child.kill(name)
    await new Promise((next) => setTimeout(next, 60))
  }
  process.kill(inner, 'SIGUSR2')
  expect(await once(child, 'close')).toEqual([null, 'SIGTERM'])
  expect(said()).toMatch(/^SIGINT,SIGHUP,SIGTERM$/m)
})

test('after kill -9 of the bootstrap its child ends in its orderly way', async () => {
  const root = makeProject(`
    import { writeFileSync } from 'node:fs'
    import { endWithParent } from ${JSON.stringify(join(ROOT, 'dev/parent-watch.ts'))}
    endWithParent()
    const timer = setInterval(() => undefined, 1000)
    process.once('SIGTERM', () => { writeFileSync(${JSON.stringify('ended')}, 'yes'); clearInterval(timer) })
    process.chdir(import.meta.dirname)
    console.log('ready')`)
  const { child, said } = run(root, ['file.ts'])
  await until(() => said().includes('ready'))
  child.kill('SIGKILL')
  await until(() => readdirSync(root).includes('ended'), 3_000)
})

test('a failed install is one sentence and exit code 1; a dead installer’s lock is taken over', async () => {
  const root = makeProject(TELL, { 'node_modules/missing': { version: '1.0.0' } })
  mkdirSync(join(root, '.tenantry'))
  symlinkSync('4194305', join(root, '.tenantry/install.lock'))
  const { child, said } = run(root, ['file.ts'])
  expect(await once(child, 'close')).toEqual([1, null])
  expect(said()).toContain('The dependencies could not be installed')
  expect(readdirSync(join(root, '.tenantry'))).toEqual([])
})

test('while another process installs, it waits, and goes on with what that one installed', async () => {
  const root = makeProject(TELL, { 'node_modules/late': { version: '1.0.0' } })
  mkdirSync(join(root, '.tenantry'))
  symlinkSync(String(process.pid), join(root, '.tenantry/install.lock'))
  const { child, said } = run(root, ['file.ts'])
  await until(() => said().includes(`Waiting for process ${process.pid}`))
  const installed = { packages: { 'node_modules/late': { version: '1.0.0' } } }
  writeFileSync(join(root, 'node_modules/.package-lock.json'), JSON.stringify(installed))
  rmSync(join(root, '.tenantry/install.lock'))
  expect(await once(child, 'close')).toEqual([0, null])
  expect(said()).not.toContain('Installing')
})

test('without a file it says how to use it, with exit code 2', async () => {
  const { child, said } = run(makeProject(TELL))
  expect(await once(child, 'close')).toEqual([2, null])
  expect(said()).toBe('Usage: node bootstrap.mjs FILE [arguments]\n')
  expect(readFileSync(join(ROOT, 'bootstrap.mjs'), 'utf8').split('\n')[0]).toBe('/**')
})
