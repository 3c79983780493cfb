/** A real PgBouncer in transaction mode in front of the benchmarks' server: the installed one, or Debian's package. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { chooseAccount, handOver } from '../../dev/account.ts'
import { answers, findFreePort } from '../../dev/port.ts'
import { supervise, type Supervised } from '../../dev/supervisor.ts'
import type { BenchWorld } from './bench-world.ts'
import { say } from './report.ts'

/** A running PgBouncer. */
export interface PgBouncer {
  /** As in 'PgBouncer 1.18.0'. */
  readonly version: string
  /** The same database and login, by way of PgBouncer. */
  through(url: string): string
  stop(): Promise<void>
}

/** The program with the words that must stand before it. */
type CommandLine = readonly [string, ...string[]]

/**
 * Starts one and waits until it answers. It ends with `stop`, or with this process.
 * @param poolSize connections to the server for each login.
 */
export async function startPgBouncer(world: BenchWorld, poolSize: number): Promise<PgBouncer> {
  const port = await findFreePort()
  if (port === undefined) throw new Error('no port of 127.0.0.1 is free')
  const dir = mkdtempSync(join(tmpdir(), 'tenantry-bench-pgbouncer-'))
  const command = findInstalled() ?? fetchFromDebian(dir)
  writeConfiguration(dir, { urls: [world.appUrl, world.superuserUrl], port, poolSize })
  const account = chooseAccount(dir)
  if (account !== undefined) handOver(dir, account)
  const [file, ...words] = command
  const ini = join(dir, 'pgbouncer.ini')
  const program = supervise({ file, args: [...words, ini], cwd: dir, account, log: 'pipe' })
  async function stop(): Promise<void> {
    await program.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    await waitUntilItAnswers(program, port)
    const [version = ''] = execFileSync(file, [...words, '--version'], { encoding: 'utf8' }).split('\n')
    return { version, through: (url) => Object.assign(new URL(url), { port: String(port) }).href, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function findInstalled(): CommandLine | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']
  const file = folders.map((folder) => join(folder, 'pgbouncer')).find((path) => existsSync(path))
  return file === undefined ? undefined : [file]
}

/** Unpacked and not installed: that needs no root, makes no user and starts no service. */
function fetchFromDebian(dir: string): CommandLine {
  const folder = join(dir, 'debian')
  mkdirSync(folder)
  // apt downloads as a user of its own.
  chmodSync(dir, 0o755)
  chmodSync(folder, 0o777)
  try {
    say('fetching PgBouncer from Debian')
    const packages = ['pgbouncer', 'libevent-2.1-7', 'libc-ares2']
    execFileSync('apt-get', ['download', ...packages], { cwd: folder, stdio: 'ignore' })
    for (const name of readdirSync(folder)) execFileSync('dpkg', ['-x', name, '.'], { cwd: folder })
    const libraries = readdirSync(join(folder, 'usr/lib')).map((name) => join(folder, 'usr/lib', name))
    return ['/usr/bin/env', `LD_LIBRARY_PATH=${libraries.join(':')}`, join(folder, 'usr/sbin/pgbouncer')]
  } catch (error) {
    rmSync(dir, { recursive: true, force: true })
    throw new Error('PgBouncer is not here; on Debian: apt-get install pgbouncer', { cause: error })
  }
}

interface Configuration {
  /** Of the logins, with their passwords. */
  readonly urls: readonly string[]
  readonly port: number
  readonly poolSize: number
}

function writeConfiguration(dir: string, { urls, port, poolSize }: Configuration): void {
  const logins = urls.map((url) => new URL(url))
  // Passwords in the clear: from a SCRAM verifier alone PgBouncer could not log in to the server.
  const users = logins.map(({ username, password }) => `"${username}" "${decodeURIComponent(password)}"\n`)
  writeFileSync(join(dir, 'users.txt'), users.join(''), { mode: 0o600 })
  writeFileSync(
    join(dir, 'pgbouncer.ini'),
    `[databases]
* = host=127.0.0.1 port=${logins[0]?.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(dir, 'users.txt')}
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 500
log_connections = 0
log_disconnections = 0
`,
  )
}

async function waitUntilItAnswers(program: Supervised, port: number): Promise<void> {
  let ended = false
  void program.ended.then(() => (ended = true))
  for (let tick = 0; !(await answers(port)); tick += 1) {
    if (ended || tick > 500) throw new Error(`PgBouncer did not start: ${program.output()}`)
    await sleep(20)
  }
}
