/** A real PgBouncer in transaction mode, on a free port, in front of the test server. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { inject } from 'vitest'
import { chooseAccount, handOver } from '../../dev/account.ts'
import { supervise } from '../../dev/supervisor.ts'
import { freePort } from './demo.ts'
import { waitFor } from './wait-for.ts'

/** A running PgBouncer. */
export interface PgBouncer {
  /** The same database and login, by way of PgBouncer. */
  through(url: string): string
  /** Its own word on its connections: a SHOW command of its console. */
  show(what: 'servers' | 'clients' | 'pools'): Promise<Record<string, unknown>[]>
  stop(): Promise<void>
}

/** How it is set up. */
export interface PgBouncerOptions {
  /** Connections to the server for each database and login. */
  readonly poolSize: number
  /** Default: transaction. */
  readonly poolMode?: 'transaction' | 'session'
}

/** The program; `undefined` where it is not installed (Debian: `apt-get install pgbouncer`). */
export function findPgBouncer(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']
  return folders.map((folder) => join(folder, 'pgbouncer')).find((file) => existsSync(file))
}

/** Starts one and waits until it answers. It ends with `stop`, or with this process. */
export async function startPgBouncer(options: PgBouncerOptions): Promise<PgBouncer> {
  const file = findPgBouncer()
  if (file === undefined) throw new Error('pgbouncer is not installed')
  const { superuserUrl, passwords } = inject('server')
  const server = new URL(superuserUrl)
  const port = await freePort()
  const dir = mkdtempSync(join(tmpdir(), 'tenantry-pgbouncer-'))
  const users = {
    tenantry_app: passwords.app,
    tenantry_admin: passwords.admin,
    [server.username]: decodeURIComponent(server.password),
  }
  // Passwords in the clear: from a SCRAM verifier alone PgBouncer could not log in to the server.
  writeFileSync(
    join(dir, 'users.txt'),
    Object.entries(users)
      .map(([name, password]) => `"${name}" "${password.replaceAll('"', '""')}"\n`)
      .join(''),
    { mode: 0o600 },
  )
  writeFileSync(
    join(dir, 'pgbouncer.ini'),
    `[databases]
* = host=${server.hostname} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(dir, 'users.txt')}
stats_users = ${server.username}
pool_mode = ${options.poolMode ?? 'transaction'}
default_pool_size = ${options.poolSize}
max_client_conn = 500
log_connections = 0
log_disconnections = 0
`,
  )
  const account = chooseAccount(dir)
  if (account !== undefined) handOver(dir, account)
  const program = supervise({ file, args: [join(dir, 'pgbouncer.ini')], cwd: dir, account, log: 'pipe' })
  const through = (url: string): string => Object.assign(new URL(url), { port: String(port) }).href
  const console = Object.assign(new URL(through(superuserUrl)), { pathname: '/pgbouncer' }).href

  async function show(what: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client(console)
    // The test may end it while this is connected.
    client.on('error', () => undefined)
    try {
      await client.connect()
      return (await client.query<Record<string, unknown>>(`show ${what}`)).rows
    } finally {
      await client.end().catch(() => undefined)
    }
  }
  async function stop(): Promise<void> {
    await program.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  let ended = false
  void program.ended.then(() => (ended = true))
  try {
    await waitFor(() => {
      if (ended) throw new Error(`pgbouncer ended: ${program.output()}`)
      return show('pools').then(
        () => true,
        () => false,
      )
    })
  } catch (error) {
    await stop()
    throw error
  }
  return { through, show, stop }
}
