/** `tenantry migrate up`: brings the shared tables and every tenant to the newest migration. */
import { Command } from 'commander'
import { countTenants, type MigrationReport, reportFailure } from '../../../migrate/fleet/migration-report.ts'
import { toDocument } from '../../failure.ts'
import type { Output } from '../../output.ts'
import type { Shell } from '../../shell.ts'

export function upCommand(shell: Shell): Command {
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
