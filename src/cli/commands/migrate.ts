/** `tenantry migrate`: brings the shared tables and every tenant to the newest migration. */
import { Command } from 'commander'
import { TenantryError } from '../../core/errors.ts'
import { toDocument } from '../failure.ts'
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
      const { shared, tenants, failed } = report
      const changed = tenants.filter(({ applied }) => applied.length > 0)
      const document = {
        catalog,
        shared,
        tenants,
        failed: failed.map((tenant) => ({ ...tenant, error: toDocument(tenant.error) })),
      }
      output.result(document, () =>
        [
          `catalog: ${listed(catalog)}`,
          `shared: ${listed(shared)}`,
          `tenants: ${countOf(changed)} migrated, ${countOf(tenants) - countOf(changed)} up to date, ${countOf(failed)} failed`,
        ].join('\n'),
      )
      if (failed.length === 0) return
      for (const { key, error } of failed) output.notice(`${key}: ${error.code}: ${error.message}`)
      const params = {
        failed: failed.length,
        total: failed.length + tenants.length,
        tenants:
          failed
            .map(({ key }) => key)
            .slice(0, 10)
            .join(', ') + (failed.length > 10 ? ', …' : ''),
      }
      const error = new TenantryError('TNY405', { params })
      output.notice(`tenantry: ${error.code}: ${error.message}`)
      output.notice(`hint: ${error.hint}`)
      shell.exitCode = 1
    })
}

/** Tenants that share tables are one line, which says how many they are. */
function countOf(lines: readonly { readonly members?: number }[]): number {
  return lines.reduce((sum, { members = 1 }) => sum + members, 0)
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
        const behind = countOf(status.tenants.filter(({ pending }) => pending.length > 0))
        const columns = [
          { title: 'tenant', value: (row: Row) => row.tenant },
          { title: 'status', value: (row: Row) => row.status },
          { title: 'applied', value: (row: Row) => row.applied },
          { title: 'pending', value: (row: Row) => row.pending.join(', ') || '-' },
        ]
        const { applied, pending } = status.shared
        const rows: Row[] = [
          { tenant: '(shared)', status: '', applied: applied.length, pending },
          ...tenants.map(({ key, members, ...rest }) => ({
            tenant: members === undefined ? key : `(${key}: ${members})`,
            ...rest,
          })),
        ]
        const heading = (text: string): string => output.style('bold', text)
        return `${renderTable(columns, rows, { width: output.width, heading })}\n\n${summary(behind, countOf(status.tenants))}`
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
