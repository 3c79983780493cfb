/** What is said at the end of a run, and the exit code that it amounts to. */
import { countTenants, type MigrationReport, reportFailure } from '../../../migrate/fleet/migration-report.ts'
import { showDuration } from '../../duration.ts'
import { exitCodeOf, toDocument } from '../../failure.ts'
import type { Output } from '../../output.ts'
import type { Shell } from '../../shell.ts'

/** Below this nobody asks who was slow. */
const SLOW_MS = 1000

/** The report for machines. */
export function reportDocument(report: MigrationReport): object {
  const { failed, stopped, ...rest } = report
  return {
    ...rest,
    failed: failed.map((tenant) => ({ ...tenant, error: toDocument(tenant.error) })),
    ...(stopped === undefined ? {} : { stopped: { left: stopped.left, error: toDocument(stopped.error) } }),
  }
}

/** The line of the tenants, and more where there is more to say. @param done what became of them: `migrated` */
export function reportLines(report: MigrationReport, done: string): string[] {
  const { tenants, unchanged, failed, quarantined, heldBack, waves, slowest, tookMs, dryRun } = report
  const count = countTenants(tenants)
  const counts = [
    `${count} ${done}`,
    `${unchanged} ${heldBack === undefined ? 'up to date' : 'unchanged'}`,
    `${countTenants(failed)} failed`,
    ...(quarantined.length === 0 ? [] : [`${quarantined.length} in quarantine`]),
  ]
  const held = heldBack === undefined ? '' : `; ${heldBack} is held back for all`
  const slow = slowest.filter((tenant) => tenant.tookMs >= SLOW_MS)
  return [
    `tenants: ${counts.join(', ')}${held}`,
    ...(waves.length < 2
      ? []
      : waves.map(
          (wave) =>
            `  ${wave.name}: ${wave.migrated} ${done}, ${wave.failed} failed, ${showDuration(wave.tookMs)}`,
        )),
    ...(slow.length === 0
      ? []
      : [`slowest: ${slow.map((one) => `${one.key} (${showDuration(one.tookMs)})`).join(', ')}`]),
    ...(count === 0 ? [] : [`time: ${showDuration(tookMs)}`]),
    ...(dryRun === true ? ['Nothing was changed: all of it was rolled back.'] : []),
  ]
}

/** Each failure, and a way out below the last of those that it is for; then what the run amounts to. */
export function tellFailures(report: MigrationReport, shell: Shell): void {
  const { output } = shell
  const { failed, quarantined } = report
  for (const [at, { key, error }] of failed.entries()) {
    output.notice(`${key}: ${error.code}: ${error.message}`)
    if (failed[at + 1]?.error.hint !== error.hint) output.notice(`hint: ${error.hint}`)
  }
  for (const { key, migration, error, since } of quarantined) {
    output.notice(`${key}: in quarantine since ${since.toISOString()}, ${migration}: ${error}`)
  }
  tellError(report, output)
  const error = reportFailure(report)
  if (error !== undefined) shell.exitCode = exitCodeOf(error)
}

function tellError(report: MigrationReport, output: Output): void {
  const error = reportFailure(report)
  if (error === undefined) return
  output.notice(`tenantry: ${error.code}: ${error.message}`)
  output.notice(`hint: ${error.hint}`)
}

export function listed(names: readonly string[]): string {
  return names.length === 0 ? 'up to date' : names.join(', ')
}
