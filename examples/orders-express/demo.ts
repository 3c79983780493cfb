/** `npm run demo`: a database, four tenants and the backend, from nothing, in one command. */
import { once } from 'node:events'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type ControlPlane, TenantryError } from 'tenantry'
import { drainOnSignal } from 'tenantry/express'
import { endWithParent } from '../../dev/parent-watch.ts'
import { findFreePort } from '../../dev/port.ts'
import { prepareEmbedded, type ProjectServer } from '../../dev/project.ts'

const USAGE = 'Usage: npm run demo [-- --reset]   (PORT=3000 by default)'

/** The tenants that are there from the start, one of each kind of home; their first orders are in seed.ts. */
const TENANTS = [
  { key: 'acme', name: 'Acme Corporation', plan: 'pro' },
  { key: 'globex', name: 'Globex', plan: 'free' },
  { key: 'initech', name: 'Initech', plan: 'free', model: 'shared' },
  { key: 'umbrella', name: 'Umbrella Corporation', plan: 'enterprise', model: 'database' },
] as const

/** The command line or the environment is wrong. */
class Misuse extends Error {}

try {
  const { reset, port } = readInvocation()
  endWithParent()
  await requirePort(port)
  await demo(port, reset)
} catch (error) {
  const sentence = error instanceof TenantryError ? `${error.message} ${error.hint}` : messageOf(error)
  process.stderr.write(`demo: ${sentence}\n`)
  process.exit(error instanceof Misuse ? 2 : 1)
}

async function demo(port: number, reset: boolean): Promise<void> {
  const dir = process.env['TENANTRY_DIR'] ?? resolve(import.meta.dirname, '../../.tenantry')
  const database = await prepareEmbedded({ dir, reset, onProgress: say })
  try {
    await serve(port, database)
  } catch (error) {
    await database.stop()
    throw error
  }
}

async function serve(port: number, database: ProjectServer): Promise<void> {
  process.env['DATABASE_URL'] = database.appUrl
  process.env['TENANTRY_ADMIN_URL'] = database.adminUrl
  process.env['TENANTRY_MASTER_KEY'] = database.masterKey
  // Only now: the backend reads its connections from the environment, as it would in production.
  const { app, controlPlane, tenancy } = await import('./app.ts')
  await prepareTenants(controlPlane)
  await tenancy.ready()

  const server = app.listen(port)
  await once(server, 'listening')
  let closing = false
  drainOnSignal({
    server,
    // The last is sent when the terminal is closed.
    signals: ['SIGINT', 'SIGTERM', 'SIGHUP'],
    async close() {
      closing = true
      await Promise.all([tenancy.close(), controlPlane.close()])
      await database.stop()
    },
  })
  void database.server.ended.then(() => {
    if (closing) return
    process.stderr.write(`demo: PostgreSQL ended by itself; ${database.server.log} says why.\n`)
    process.exit(1)
  })
  await printTenants(controlPlane, port)
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

async function printTenants(controlPlane: ControlPlane, port: number): Promise<void> {
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
  process.stdout.write(`
ready http://localhost:${port}

${lines.join('\n')}

Sign up another:  curl http://localhost:${port}/signup --json '{"key":"hooli","name":"Hooli"}'
Add an order:     curl http://acme.localhost:${port}/orders --json '{"customer":"Marvin","amount":7}'
Ctrl-C stops it; the data stay in .tenantry until: npm run demo -- --reset
`)
}

function padded(cells: readonly string[], widths: readonly number[]): string {
  return cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' ')
}

function readInvocation(): { reset: boolean; port: number } {
  try {
    const { values } = parseArgs({ options: { reset: { type: 'boolean', default: false } } })
    const text = process.env['PORT'] ?? '3000'
    const port = Number(text)
    if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535)
      throw new Error(`PORT is "${text}", not a port.`)
    return { reset: values.reset, port }
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
