/** `npm run demo -- fastify`: a database, four tenants and an example's backend, from nothing, in one command. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type ControlPlane, createControlPlane, TenantryError } from 'tenantry'
import { endWithParent } from '../dev/parent-watch.ts'
import { findFreePort } from '../dev/port.ts'
import { prepareEmbedded, type ProjectServer } from '../dev/project.ts'
import { seed } from './orders-express/seed.ts'

/** Each is the same backend: orders-NAME/server.ts. */
const BACKENDS = ['express', 'fastify', 'hono', 'nest', 'next'] as const
const USAGE = `Usage: npm run demo [-- ${BACKENDS.join('|')}] [--reset]   (PORT=3000 by default)`
/** The last is sent when the terminal is closed. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** The tenants that are there from the start, one of each kind of home; their first orders are in seed.ts. */
const TENANTS = [
  { key: 'acme', name: 'Acme Corporation', plan: 'pro' },
  { key: 'globex', name: 'Globex', plan: 'free' },
  { key: 'initech', name: 'Initech', plan: 'free', model: 'shared' },
  { key: 'umbrella', name: 'Umbrella Corporation', plan: 'enterprise', model: 'database' },
] as const

/** The command line or the environment is wrong. */
class Misuse extends Error {}

interface Invocation {
  readonly backend: (typeof BACKENDS)[number]
  readonly reset: boolean
  readonly port: number
}

try {
  const invocation = readInvocation()
  endWithParent()
  await requirePort(invocation.port)
  await demo(invocation)
} catch (error) {
  const sentence = error instanceof TenantryError ? `${error.message} ${error.hint}` : messageOf(error)
  process.stderr.write(`demo: ${sentence}\n`)
  process.exit(error instanceof Misuse ? 2 : 1)
}

async function demo({ backend, reset, port }: Invocation): Promise<void> {
  const dir = process.env['TENANTRY_DIR'] ?? resolve(import.meta.dirname, '../.tenantry')
  const database = await prepareEmbedded({ dir, reset, onProgress: say })
  try {
    const folder = resolve(import.meta.dirname, 'orders-express/migrations')
    const controlPlane = createControlPlane({
      connection: database.adminUrl,
      masterKey: database.masterKey,
      migrations: { shared: resolve(folder, 'shared'), tenant: resolve(folder, 'tenant') },
      seed,
    })
    try {
      await serve({ backend, port, database, controlPlane })
    } finally {
      await controlPlane.close()
    }
  } finally {
    await database.stop()
  }
}

/** Prepares the tenants and runs the backend until a signal, or until it or the database ends by itself. */
async function serve(parts: {
  readonly backend: string
  readonly port: number
  readonly database: ProjectServer
  readonly controlPlane: ControlPlane
}): Promise<void> {
  const { backend, port, database, controlPlane } = parts
  const child = startBackend(backend, port, database)
  const ended = once(child, 'exit') as Promise<[number | null]>
  let closing = false
  const close = (): void => {
    closing = true
    // A second one too: the backend tells an impatient user from Ctrl-C that npm has passed on again.
    child.kill('SIGTERM')
  }
  for (const signal of SIGNALS) process.on(signal, close)
  void database.server.ended.then(() => {
    if (closing) return
    process.stderr.write(`demo: PostgreSQL ended by itself; ${database.server.log} says why.\n`)
    // Requests in flight have nothing to wait for.
    child.kill('SIGKILL')
    process.exit(1)
  })

  try {
    // While it starts; whoever asks for a tenant meanwhile is told that there is none.
    await prepareTenants(controlPlane)
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
  await untilUp(child, port)
  if (isRunning(child) && !closing) await printTenants(controlPlane, { backend, port })
  const [code] = await ended
  if (!closing) throw new Error(`The backend ended by itself, with ${code ?? 'a signal'}.`)
  process.exitCode ??= code ?? 1
}

/** A process of its own, as in production; the channel tells it when this one was killed. */
function startBackend(
  backend: string,
  port: number,
  { appUrl, adminUrl, masterKey }: ProjectServer,
): ChildProcess {
  return fork(resolve(import.meta.dirname, `orders-${backend}/server.ts`), {
    env: {
      ...process.env,
      DATABASE_URL: appUrl,
      TENANTRY_ADMIN_URL: adminUrl,
      TENANTRY_MASTER_KEY: masterKey,
      PORT: String(port),
    },
    // A group of its own, which the terminal's Ctrl-C does not reach: the signal comes from here, once.
    detached: true,
  })
}

async function untilUp(child: ChildProcess, port: number): Promise<void> {
  const answers = async (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${port}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    )
  while (isRunning(child) && !(await answers())) await sleep(50)
}

function isRunning({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null
}

async function prepareTenants(controlPlane: ControlPlane): Promise<void> {
  const { failed } = await controlPlane.migrate.up()
  for (const { error } of failed) throw error
  const unfinished = await controlPlane.operations.unfinished()
  for (const tenant of TENANTS) {
    const known = await controlPlane.tenants.get(tenant.key).catch(() => undefined)
    if (known !== undefined && unfinished.every(({ tenantId }) => tenantId !== known.id)) continue
    say(`provisioning ${tenant.key}`)
    await controlPlane.tenants.create(tenant)
  }
}

async function printTenants(
  controlPlane: ControlPlane,
  { backend, port }: Pick<Invocation, 'port'> & { readonly backend: string },
): Promise<void> {
  const tenants = await controlPlane.tenants.list({ status: 'active', limit: 10 })
  const rows = tenants.map(({ key, name, plan, home }) => [
    key,
    name,
    plan,
    home.model,
    `curl http://${key}.localhost:${port}/orders`,
  ])
  const lines = [['TENANT', 'NAME', 'PLAN', 'MODEL', 'TRY'], ...rows].map((cells) =>
    padded(cells, [14, 22, 12, 10, 0]),
  )
  // The others leave it to the control plane: `npm run tenantry -- tenants create hooli`.
  const signUp =
    backend === 'express'
      ? `Sign up another:  curl http://localhost:${port}/signup --json '{"key":"hooli","name":"Hooli"}'\n`
      : ''
  process.stdout.write(`
ready http://localhost:${port}

${lines.join('\n')}

${signUp}Add an order:     curl http://acme.localhost:${port}/orders --json '{"customer":"Marvin","amount":7}'
Ctrl-C stops it; the data stay in .tenantry until: npm run demo -- --reset
`)
}

function padded(cells: readonly string[], widths: readonly number[]): string {
  return cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' ')
}

function readInvocation(): Invocation {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { reset: { type: 'boolean', default: false } },
    })
    const [name = 'express', ...rest] = positionals
    const backend = BACKENDS.find((known) => known === name)
    if (backend === undefined || rest.length > 0)
      throw new Error(`There is no example "${positionals.join(' ')}".`)
    const text = process.env['PORT'] ?? '3000'
    const port = Number(text)
    if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535)
      throw new Error(`PORT is "${text}", not a port.`)
    return { backend, reset: values.reset, port }
  } catch (error) {
    throw new Misuse(`${messageOf(error)} ${USAGE}`)
  }
}

/** Asked first: a database that starts only to be stopped again would hide the one sentence that matters. */
async function requirePort(port: number): Promise<void> {
  if ((await findFreePort(port)) === undefined) throw new TenantryError('TNY013', { params: { port } })
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
