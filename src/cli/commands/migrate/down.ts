/** `tenantry migrate down`: undoes the newest tenant migrations. */
import { Command } from 'commander'
import type { Shell } from '../../shell.ts'
import { catchStopSignals } from '../../stop-signals.ts'
import { misuse } from '../../failure.ts'
import { addRunFlags, readCount, readRunFlags, type RunFlags } from './run-flags.ts'
import { showRun } from './show-run.ts'
import { reportDocument, reportLines, tellFailures } from './tell-report.ts'

interface DownFlags extends RunFlags {
  readonly steps?: string
  readonly to?: string
}

const HELP = `
Down parts delete what the migrations made: try it with --dry-run first. The next \`up\` runs them again, unless
their files are gone.`

export function downCommand(shell: Shell): Command {
  const command = new Command('down')
    .description('undo tenant migrations, the newest first')
    .option('--steps <count>', 'how many each tenant is to lose')
    .option('--to <migration>', 'the last one to keep: its name or its number')
  return addRunFlags(command)
    .addHelpText('after', HELP)
    .action((flags: DownFlags) => run(shell, flags))
}

async function run(shell: Shell, flags: DownFlags): Promise<void> {
  const { output } = shell
  const { steps, to, events } = flags
  if ((steps === undefined) === (to === undefined)) {
    throw misuse('it needs either --steps or --to', 'One step back: tenantry migrate down --steps 1')
  }
  const options = {
    ...readRunFlags(flags),
    ...(steps === undefined ? {} : { steps: readCount('--steps', steps) }),
    ...(to === undefined ? {} : { to }),
    ...showRun(output, { events: events === true, verb: flags.dryRun === true ? 'tried' : 'reverted' }),
  }
  const stop = catchStopSignals(() => output.settle())
  try {
    const report = await shell.withControlPlane((plane) =>
      plane.migrate.down({ ...options, signal: stop.signal }),
    )
    output.result(reportDocument(report), () =>
      reportLines(report, flags.dryRun === true ? 'would be reverted' : 'reverted').join('\n'),
    )
    tellFailures(report, shell)
    if (report.stopped?.error.code === 'TNY422') shell.exitCode = stop.exitCode() ?? 1
  } finally {
    stop.dispose()
  }
}
