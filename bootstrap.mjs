/**
 * Runs a file of this project on any machine: `node bootstrap.mjs FILE [arguments]`. It installs what is
 * missing, then hands over to a Node that runs TypeScript unbuilt. Plain JavaScript without dependencies,
 * because it runs before there are any, on any Node from 20.19.
 *
 * Signals: the first SIGINT, SIGTERM and SIGHUP are each passed on once. Ctrl-C in a terminal reaches the
 * whole foreground group, and npm passes it on as well, so FILE may see SIGINT twice within moments: it
 * must take the second for the same wish. FILE learns from TENANTRY_PARENT its parent (see
 * dev/parent-watch.ts), for the case that this process is killed.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { constants } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const ROOT = dirname(fileURLToPath(import.meta.url))
const MODULES = join(ROOT, 'node_modules')
const OLDEST = [20, 19]
const RUNTIME = [22, 18]
const CONDITION = '--conditions=tenantry-dev'
// Where npm is killed outright nobody passes a signal on, but its scripts see that they lost their parent.
const IS_UNDER_NPM = process.env.npm_lifecycle_event !== undefined
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP']

function fail(sentence, code = 1) {
  process.stderr.write(`${sentence}\n`)
  process.exit(code)
}

function isAtLeast(version, [major, minor]) {
  const [have, haveMinor] = version.replace(/^v/, '').split('.').map(Number)
  return have > major || (have === major && haveMinor >= minor)
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

/**
 * npm writes its own lockfile into node_modules as the last step of an install and removes it as the first
 * of the next, so that an interrupted install never looks whole.
 */
function isInstalled() {
  const wanted = readJson(join(ROOT, 'package-lock.json'))?.packages ?? {}
  const found = readJson(join(MODULES, '.package-lock.json'))?.packages
  if (found === undefined) return false
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    if (path === '') return true
    return found[path] === undefined ? optional === true : found[path].version === version
  })
}

/** Starts a program and resolves to how it ended; signals meant for us go to it. */
function run(file, args, options) {
  return new Promise((done) => {
    const child = spawn(file, args, { cwd: process.cwd(), ...options })
    const parent = process.ppid
    let caught = null
    const forward = SIGNALS.map((name) => {
      let sent = false
      const listener = () => {
        if (!sent) child.kill(name)
        sent = true
        caught = name
      }
      process.on(name, listener)
      return () => process.off(name, listener)
    })
    const watch = setInterval(() => {
      if (IS_UNDER_NPM && process.ppid !== parent) child.kill('SIGTERM')
    }, 250)
    const settle = (outcome) => {
      clearInterval(watch)
      for (const stop of forward) stop()
      done({ ...outcome, caught })
    }
    child.once('error', (error) => settle({ error }))
    child.once('exit', (code, signal) => settle({ code, signal }))
  })
}

function endLike({ code, signal }) {
  if (signal === null) process.exit(code)
  process.kill(process.pid, signal)
  // Only where the signal was ignored for this process (nohup) does it get here.
  setTimeout(() => process.exit(128 + constants.signals[signal]), 100)
  return undefined
}

function isRunning(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** A link whose target is a pid: made with its content in one step, and at most once. */
function tryLock(path) {
  try {
    symlinkSync(String(process.pid), path)
    return undefined
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
  }
  let holder
  try {
    holder = Number(readlinkSync(path))
  } catch {
    return 0
  }
  if (isRunning(holder)) return holder
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
    // Another process may have replaced the dead lock in between: then this one lives and goes back.
    const taken = Number(readlinkSync(aside))
    if (taken !== holder && isRunning(taken)) symlinkSync(String(taken), path)
  } catch {
    // Whoever was faster has it; the next round tells.
  }
  rmSync(aside, { force: true })
  return 0
}

async function withLock(work) {
  const folder = join(ROOT, '.tenantry')
  const path = join(folder, 'install.lock')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  let told = false
  for (;;) {
    const holder = tryLock(path)
    if (holder === undefined) break
    if (holder > 0 && !told) process.stderr.write(`Waiting for process ${holder}, which installs already.\n`)
    told = told || holder > 0
    await new Promise((next) => setTimeout(next, holder > 0 ? 200 : 10))
  }
  const unlock = () => rmSync(path, { force: true })
  process.once('exit', unlock)
  try {
    return await work()
  } finally {
    process.off('exit', unlock)
    unlock()
  }
}

/** Resolves to the signal that interrupted the install, if one did. */
async function install() {
  if (isInstalled()) return undefined
  process.stderr.write('Installing the dependencies with npm ci (once; this can take a minute) …\n')
  const script = process.env.npm_execpath
  const isNpm = script !== undefined && basename(script).startsWith('npm-cli')
  const npm = isNpm ? [process.execPath, script] : ['npm']
  // Development dependencies in any case: the demo and the tests are made of them.
  const args = [...npm.slice(1), 'ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund']
  const outcome = await run(npm[0], [...args, '--loglevel=error'], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: npm[0] === 'npm' && process.platform === 'win32',
  })
  if (outcome.caught !== null) return outcome.caught
  if (outcome.code === 0 && isInstalled()) return undefined
  const reason = outcome.error ? `npm could not be started: ${outcome.error.message}` : 'npm says why above'
  return fail(`The dependencies could not be installed (${reason}); run \`npm ci\` in ${ROOT} and try again.`)
}

/** The Node to run with: this one if it is new enough, else the one that npm installed. */
function findRuntime() {
  if (isAtLeast(process.version, RUNTIME)) return process.execPath
  const { version } = readJson(join(MODULES, 'node', 'package.json')) ?? {}
  const path = join(MODULES, '.bin', 'node')
  if (version !== undefined && isAtLeast(version, RUNTIME) && existsSync(path)) return path
  return fail(
    `Node ${process.version} is too old to run this, and npm did not install a newer one (are install scripts ` +
      `off?): run \`npm rebuild node --ignore-scripts=false\` in ${ROOT}, or use Node ${RUNTIME.join('.')} or newer.`,
  )
}

async function main() {
  const [name, ...args] = process.argv.slice(2)
  if (!isAtLeast(process.version, OLDEST)) {
    fail(
      `Node ${process.version} is too old: install Node ${OLDEST.join('.')} or newer from https://nodejs.org.`,
    )
  }
  if (name === undefined) fail('Usage: node bootstrap.mjs FILE [arguments]', 2)
  const interrupted = isInstalled() ? undefined : await withLock(install)
  if (interrupted !== undefined) return endLike({ signal: interrupted })
  const file = resolve(ROOT, name)
  const runtime = findRuntime()
  if (runtime === process.execPath && process.execArgv.includes(CONDITION)) {
    process.argv = [process.argv[0], file, ...args]
    if (IS_UNDER_NPM) process.env.TENANTRY_PARENT = String(process.ppid)
    await import(pathToFileURL(file).href)
    return undefined
  }
  const outcome = await run(runtime, [CONDITION, file, ...args], {
    stdio: 'inherit',
    env: { ...process.env, TENANTRY_PARENT: String(process.pid) },
  })
  if (outcome.error !== undefined) return fail(`${runtime} could not be started: ${outcome.error.message}`)
  return endLike(outcome)
}

await main()
