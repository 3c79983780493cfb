/** `tenantry migrate status`: what ran and what is pending. */
import { Command } from 'commander'
import { countTenants } from '../../../migrate/fleet/migration-report.ts'
import type { Shell } from '../../shell.ts'
import { renderTable } from '../../table.ts'
import { readList } from './run-flags.ts'

export function statusCommand(shell: Shell): Command {
  return new Command('status')
    .description('show what ran and what is pending; changes nothing')
    .option('--pending', 'only tenants that are behind')
    .option('--only <tenants>', 'only these tenants: keys or ids, with commas')
    .addHelpText(
      'after',
      '\nExits with 0 whether or not something is pending; read `pending` of --json in scripts.',
    )
    .action(async (options: { pending?: boolean; only?: string }) => {
      const { output } = shell
      const only = options.only === undefined ? {} : { only: readList('--only', options.only) }
      const status = await shell.withControlPlane((plane) => plane.migrate.status(only))
      const tenants = status.tenants.filter(({ pending }) => options.pending !== true || pending.length > 0)
      output.result({ shared: status.shared, tenants }, () => {
        const behind = countTenants(status.tenants.filter(({ pending }) => pending.length > 0))
        const columns = [
          { title: 'tenant', value: (row: Row) => row.tenant },
          { title: 'status', value: (row: Row) => row.status },
          { title: 'applied', value: (row: Row) => row.applied },
          { title: 'pending', value: pendingOf },
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
  readonly quarantined?: { readonly migration: string; readonly error: string }
}

function pendingOf({ pending, quarantined }: Row): string {
  const names = pending.join(', ') || '-'
  return quarantined === undefined
    ? names
    : `${names} (in quarantine, ${quarantined.migration}: ${quarantined.error})`
}

function summary(behind: number, total: number): string {
  if (total === 0) return 'There are no tenants yet.'
  return behind === 0
    ? `All ${total} tenants are up to date.`
    : `${behind} of ${total} tenants are behind: tenantry migrate up`
}
