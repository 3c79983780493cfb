/** A PgBouncer in front of a server, for tests and benchmarks: its configuration, its start, its end. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { chooseAccount, handOver } from './account.ts'
import type { PgBouncerProgram } from './pgbouncer-program.ts'
import { answers, findFreePort } from './port.ts'
import { supervise, type Supervised } from './supervisor.ts'

/** How it is set up. */
export interface PgBouncerOptions {
  /** URLs of the logins that may use it, with their passwords, all on one server. */
  readonly logins: readonly string[]
  /** Connections to the server for each database and login. */
  readonly poolSize: number
  /** Default: transaction. */
  readonly poolMode?: 'transaction' | 'session' | 'statement' | undefined
  /** More words of how it connects to the server, such as `user=postgres`. */
  readonly server?: string | undefined
  /** More lines of its configuration, such as `{ ignore_startup_parameters: 'options' }`. */
  readonly settings?: Readonly<Record<string, string>> | undefined
  /** Named statements that it keeps on each server connection. Default: 0, as all versions before 1.21. */
  readonly preparedStatements?: number | undefined
}

/** A running PgBouncer. */
export interface PgBouncer {
  /** As in 1.18.0. */
  readonly version: string
  /** The same database and login, by way of PgBouncer. */
  through(url: string): string
  stop(): Promise<void>
}

/** Starts one and waits until it answers. It ends with `stop`, or with this process. */
export async function startPgBouncer(
  program: PgBouncerProgram,
  options: PgBouncerOptions,
): Promise<PgBouncer> {
  const port = await findFreePort()
  if (port === undefined) throw new Error('no port of 127.0.0.1 is free')
  const dir = mkdtempSync(join(tmpdir(), 'tenantry-pgbouncer-'))
  const logins = options.logins.map((url) => new URL(url))
  // Passwords in the clear: from a SCRAM verifier alone PgBouncer could not log in to the server.
  const users = logins.map(({ username, password }) => `${quoted(username)} ${quoted(password)}\n`)
  writeFileSync(join(dir, 'users.txt'), users.join(''), { mode: 0o600 })
  writeFileSync(
    join(dir, 'pgbouncer.ini'),
    `[databases]
* = host=127.0.0.1 port=${logins[0]?.port} ${options.server ?? ''}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(dir, 'users.txt')}
admin_users = ${logins.map(({ username }) => username).join(', ')}
pool_mode = ${options.poolMode ?? 'transaction'}
default_pool_size = ${options.poolSize}
${program.carriesNames ? `max_prepared_statements = ${options.preparedStatements ?? 0}` : ''}
max_client_conn = 500
log_connections = 0
log_disconnections = 0
${Object.entries(options.settings ?? {})
  .map(([name, value]) => `${name} = ${value}\n`)
  .join('')}`,
  )
  const account = chooseAccount(dir)
  if (account !== undefined) handOver(dir, account)
  const [file, ...words] = program.command
  const args = [...words, join(dir, 'pgbouncer.ini')]
  const running = supervise({ file, args, cwd: dir, account, log: 'pipe' })
  async function stop(): Promise<void> {
    await running.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    await waitUntilItAnswers(running, port)
  } catch (error) {
    await stop()
    throw error
  }
  const through = (url: string): string => Object.assign(new URL(url), { port: String(port) }).href
  return { version: program.version, through, stop }
}

function quoted(part: string): string {
  return `"${decodeURIComponent(part).replaceAll('"', '""')}"`
}

async function waitUntilItAnswers(program: Supervised, port: number): Promise<void> {
  let ended = false
  void program.ended.then(() => (ended = true))
  for (let tick = 0; !(await answers(port)); tick += 1) {
    if (ended || tick > 500) throw new Error(`PgBouncer did not start: ${program.output()}`)
    await sleep(20)
  }
}
