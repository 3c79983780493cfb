/** `tenantry prove`: attacks the installation with tenants of its own, and prints what held. */
import { writeFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { createAdminDatabase } from '../../gateway/admin-database.ts'
import type { ConnectionSpec } from '../../core/config.ts'
import type { TenantModel, TenantTier } from '../../core/tenant.ts'
import { prove } from '../../prove/prove.ts'
import type { ProofReport } from '../../prove/report.ts'
import { toHtml } from '../../prove/report-html.ts'
import { type ProofTenancy, STATEMENT_TIMEOUT_MS } from '../../prove/ways.ts'
import { createTenancy } from '../../tenancy.ts'
import { findConnections, requireConnection } from '../connections.ts'
import { findKnex, knexHandle } from '../knex-handle.ts'
import { renderProof } from '../proof-text.ts'
import type { Shell } from '../shell.ts'

const HELP = `
It makes two tenants of each kind that the installation can have, plants rows that nobody can guess, and attacks the
one from the other: through the gateway, through Knex where the project has it, and past the guard. It reads no rows of
your tenants but to see whether it could, changes nothing but its own, and removes its tenants at the end, also after
Ctrl-C; what a killed run has left the next one removes. Functions that run with their owner's rights are called in
read-only transactions that are rolled back.

Examples:
  $ tenantry prove
  $ tenantry prove --model shared --html proof.html
  $ tenantry prove --json | jq '.failed, .tiers'

Exits with 1 if an attack got through, or the lint of your own objects finds an error.`

interface ProveFlags {
  readonly model?: TenantModel
  readonly tier?: TenantTier
  readonly html?: string
  readonly tenantColumn?: readonly string[]
  readonly calls: boolean
  readonly pooler?: 'pgbouncer' | 'pgbouncer-prepared'
}

export function proveCommand(shell: Shell): Command {
  return new Command('prove')
    .description('attack this installation with two throw-away tenants of each kind, and tell what held')
    .addOption(new Option('--model <model>', 'only this model').choices(['shared', 'schema', 'database']))
    .addOption(new Option('--tier <tier>', 'only this tier').choices(['guarded', 'sealed']))
    .option('--html <file>', 'also write the report as a page of its own')
    .option('--tenant-column <name...>', "columns that hold the tenant's id (default: tenant_id)")
    .option('--no-calls', "do not call functions that run with their owner's rights")
    .addOption(
      new Option(
        '--pooler <kind>',
        'the pooler that DATABASE_URL leads to; attacks without the guard take the address of TENANTRY_ADMIN_URL',
      ).choices(['pgbouncer', 'pgbouncer-prepared']),
    )
    .addHelpText('after', HELP)
    .action((flags: ProveFlags) => run(shell, flags))
}

async function run(shell: Shell, flags: ProveFlags): Promise<void> {
  const { output } = shell
  const project = await shell.project()
  const connection = requireConnection(project, 'app')
  const { masterKey } = findConnections(project)
  const adminConnection = requireConnection(project, 'admin')
  const admin = createAdminDatabase(adminConnection)
  const pooled = flags.pooler !== undefined
  const direct = pooled ? atAddressOf(connection, adminConnection) : connection
  const asked = new AbortController()
  const stopListening = onInterrupt(() => {
    output.notice('stopping: removing the throw-away tenants')
    asked.abort(new Error('the proof was stopped; its tenants are removed'))
  })
  const knexForTenants = await findKnex()
  function openTenancy({ max }: { readonly max: number }): ProofTenancy {
    const options = {
      connection,
      direct,
      pooler: flags.pooler,
      masterKey,
      max,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    }
    const tenancy = createTenancy(options)
    const { central } = tenancy
    return {
      central,
      poolFor: (tenant) => tenancy.poolFor(tenant),
      close: (closing) => tenancy.close(closing),
      handles: knexForTenants === undefined ? [] : [knexHandle(knexForTenants(tenancy))],
    }
  }
  try {
    const report = await shell.withControlPlane((control) =>
      prove(
        { control, admin, connection: direct, pooled, masterKey, openTenancy },
        {
          model: flags.model,
          tier: flags.tier,
          tenantColumns: flags.tenantColumn,
          calls: flags.calls,
          signal: asked.signal,
          onProgress: (line) => output.progress(line),
        },
      ),
    )
    publish(shell, report, flags.html)
  } finally {
    stopListening()
    await admin.close()
  }
}

function publish(shell: Shell, report: ProofReport, html: string | undefined): void {
  const { output } = shell
  output.result(report, () => renderProof(report, output))
  if (html !== undefined) writeFileSync(html, toHtml(report))
  if (!report.ok) shell.exitCode = 1
}

/** The application's login at the control plane's address, which is a direct one. */
function atAddressOf(connection: ConnectionSpec, admin: ConnectionSpec): ConnectionSpec {
  if (typeof connection === 'string' && typeof admin === 'string') {
    const { username, password } = new URL(connection)
    return Object.assign(new URL(admin), { username, password }).href
  }
  if (typeof connection === 'string' || typeof admin === 'string') return connection
  const { host, port } = admin
  return { ...connection, ...(host === undefined ? {} : { host }), ...(port === undefined ? {} : { port }) }
}

/** Ctrl-C asks it to stop, and a second one ends it: the next run removes what is left. */
function onInterrupt(stop: () => void): () => void {
  let times = 0
  const listener = (): void => {
    times += 1
    if (times === 1) stop()
    else process.exit(1)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, listener)
  return () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, listener)
  }
}
