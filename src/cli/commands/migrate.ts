/** `tenantry migrate`: brings the shared tables and every tenant to the newest migration. */
import { Command } from 'commander'
import { countTenants, type MigrationReport, reportFailure } from '../../migrate/migration-report.ts'
import { toDocument } from '../failure.ts'
import type { Output } from '../output.ts'
import type { Shell } from '../shell.ts'
import { renderTable } from '../table.ts'

export function migrateCommand(shell: Shell): Command {
  return new Command('migrate')
    .description('run and look at migrations')
    .addCommand(upCommand(shell))
    .addCommand(statusCommand(shell))
}

function upCommand(shell: Shell): Command {
  return new Command('up')
    .description(
      'run what is missing: the catalog, migrations/shared once, migrations/tenant in every tenant',
    )
    .action(async () => {
      const { output } = shell
      const { catalog, report } = await shell.withControlPlane(async (plane) => {
        const { applied } = await plane.install()
        return {
          catalog: applied,
          report: await plane.migrate.up({
            onProgress: ({ done, total, tenant }) =>
              output.progress(`migrated ${done} of ${total}: ${tenant}`),
          }),
        }
      })
      const { shared, tenants, failed, heldBack } = report
      const document = {
        catalog,
        shared,
        tenants,
        ...(heldBack === undefined ? {} : { heldBack }),
        failed: failed.map((tenant) => ({ ...tenant, error: toDocument(tenant.error) })),
      }
      output.result(document, () =>
        [`catalog: ${listed(catalog)}`, `shared: ${listed(shared)}`, `tenants: ${summaryOf(report)}`].join(
          '\n',
        ),
      )
      if (failed.length === 0) return
      tellFailures(report, output)
      shell.exitCode = 1
    })
}

function summaryOf({ tenants, failed, heldBack }: MigrationReport): string {
  const changed = countTenants(tenants.filter(({ applied }) => applied.length > 0))
  const others = `${countTenants(tenants) - changed} ${heldBack === undefined ? 'up to date' : 'unchanged'}`
  const counts = `${changed} migrated, ${others}, ${countTenants(failed)} failed`
  return heldBack === undefined ? counts : `${counts}; ${heldBack} is held back for all`
}

/** Each failure, and a way out below the last of those that it is for. */
function tellFailures(report: MigrationReport, output: Output): void {
  const { failed } = report
  for (const [at, { key, error }] of failed.entries()) {
    output.notice(`${key}: ${error.code}: ${error.message}`)
    if (failed[at + 1]?.error.hint !== error.hint) output.notice(`hint: ${error.hint}`)
  }
  const error = reportFailure(report)
  if (error === undefined) return
  output.notice(`tenantry: ${error.code}: ${error.message}`)
  output.notice(`hint: ${error.hint}`)
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'up to date' : names.join(', ')
}

function statusCommand(shell: Shell): Command {
  return new Command('status')
    .description('show what ran and what is pending; changes nothing')
    .option('--pending', 'only tenants that are behind')
    .addHelpText(
      'after',
      '\nExits with 0 whether or not something is pending; read `pending` of --json in scripts.',
    )
    .action(async (options: { pending?: boolean }) => {
      const { output } = shell
      const status = await shell.withControlPlane((plane) => plane.migrate.status())
      const tenants = status.tenants.filter(({ pending }) => options.pending !== true || pending.length > 0)
      output.result({ shared: status.shared, tenants }, () => {
        const behind = countTenants(status.tenants.filter(({ pending }) => pending.length > 0))
        const columns = [
          { title: 'tenant', value: (row: Row) => row.tenant },
          { title: 'status', value: (row: Row) => row.status },
          { title: 'applied', value: (row: Row) => row.applied },
          { title: 'pending', value: (row: Row) => row.pending.join(', ') || '-' },
        ]
        const { applied, pending } = status.shared
        const rows: Row[] = [
          { tenant: '(shared tables)', status: '', applied: applied.length, pending },
          ...tenants.map(({ key, members, ...rest }) => ({
            tenant: members === undefined ? key : `(${key}: ${members})`,
            ...rest,
          })),
        ]
        return `${renderTable(columns, rows, output)}\n\n${summary(behind, countTenants(status.tenants))}`
      })
    })
}

interface Row {
  readonly tenant: string
  readonly status: string
  readonly applied: number
  readonly pending: readonly string[]
}

function summary(behind: number, total: number): string {
  if (total === 0) return 'There are no tenants yet.'
  return behind === 0
    ? `All ${total} tenants are up to date.`
    : `${behind} of ${total} tenants are behind: tenantry migrate up`
}
