/** `tenantry migrate up`: brings the shared tables and every tenant to the newest migration. */
import { Command } from 'commander'
import type { UpOptions } from '../../../migrate/fleet/run-options.ts'
import type { Shell } from '../../shell.ts'
import { catchStopSignals } from '../../stop-signals.ts'
import { addRunFlags, readRunFlags, type RunFlags } from './run-flags.ts'
import { showRun } from './show-run.ts'
import { listed, reportDocument, reportLines, tellFailures } from './tell-report.ts'
import { addWaveFlags, readWaveFlags, type WaveFlags } from './wave-flags.ts'

interface UpFlags extends RunFlags, WaveFlags {
  readonly to?: string
  readonly retry?: boolean
  readonly lint: boolean
}

const HELP = `
Stopping it anywhere is safe: run it again and it goes on. Ctrl-C ends it behind the steps that are under way.
Tenants for which a migration failed are left out until its text changes, or --retry asks for them.

Examples:
  $ tenantry migrate up --dry-run --only acme
  $ tenantry migrate up --canary acme,globex --wave 10% --pause 5m --gate 'npm run smoke'

Exit codes: 0 done, 1 failed, 2 misuse, 3 a wave or its gate was not well.`

export function upCommand(shell: Shell): Command {
  const command = new Command('up').description(
    'run what is missing: the catalog, migrations/shared once, migrations/tenant in every tenant',
  )
  command
    .option('--to <migration>', 'the last one to run: its name or its number')
    .option('--retry', 'try tenants in quarantine too')
    .option('--no-lint', 'run what the lint refuses, too')
  return addWaveFlags(addRunFlags(command))
    .addHelpText('after', HELP)
    .action((flags: UpFlags) => run(shell, flags))
}

async function run(shell: Shell, flags: UpFlags): Promise<void> {
  const { output } = shell
  const waves = readWaveFlags(flags)
  const { to, retry, events } = flags
  const options: UpOptions = {
    ...readRunFlags(flags),
    lint: flags.lint,
    ...(to === undefined ? {} : { to }),
    ...(retry === undefined ? {} : { retry }),
    ...(waves === undefined ? {} : { waves }),
    ...showRun(output, { events: events === true, verb: flags.dryRun === true ? 'tried' : 'migrated' }),
  }
  const stop = catchStopSignals(() => output.settle())
  try {
    const { catalog, report } = await shell.withControlPlane(async (plane) => {
      const { applied } = await plane.install()
      return { catalog: applied, report: await plane.migrate.up({ ...options, signal: stop.signal }) }
    })
    output.result({ catalog, ...reportDocument(report) }, () =>
      [
        `catalog: ${listed(catalog)}`,
        `shared: ${listed(report.shared)}`,
        ...reportLines(report, flags.dryRun === true ? 'would be migrated' : 'migrated'),
      ].join('\n'),
    )
    tellFailures(report, shell)
    if (report.stopped?.error.code === 'TNY422') shell.exitCode = stop.exitCode() ?? 1
  } finally {
    stop.dispose()
  }
}
