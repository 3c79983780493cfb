/** `tenantry migrate baseline`: goes on from what another tool ran. */
import { Command, Option } from 'commander'
import { MIGRATION_FORMATS, type MigrationFormat } from '../../../core/config.ts'
import type { BaselineOptions } from '../../../migrate/fleet/take-over-fleet.ts'
import { toDocument } from '../../failure.ts'
import type { Shell } from '../../shell.ts'

interface BaselineFlags {
  readonly from?: MigrationFormat
  readonly table?: string
  readonly to?: string
  readonly shared?: boolean
  readonly only?: readonly string[]
  readonly dryRun?: boolean
}

const HELP = `
Reads in each tenant's schema what the tool recorded, checks that it is the beginning of the files, and records the
same names in pgmigrations. The tool's own table stays. Without a ledger, --to says what ran.

  tenantry migrate baseline --dry-run
  tenantry migrate baseline --from node-pg-migrate --table public.pgmigrations
  tenantry migrate baseline --to 20240101000000_init --only acme`

export function baselineCommand(shell: Shell): Command {
  return new Command('baseline')
    .description('take over what another tool ran, so that migrate up goes on from there')
    .addOption(
      new Option('--from <tool>', 'who ran them; the tool that wrote the folder by default').choices(
        MIGRATION_FORMATS,
      ),
    )
    .option('--table <table>', "its table, where that is not the tool's usual one: name, or schema.name")
    .option('--to <migration>', 'read no ledger: all up to this one ran')
    .option('--shared', 'the shared set instead of that of tenants')
    .option('--only <tenants...>', 'keys or ids of the only tenants')
    .option('--dry-run', 'show what would be recorded, and change nothing')
    .addHelpText('after', HELP)
    .action((flags: BaselineFlags) => run(shell, flags))
}

async function run(shell: Shell, flags: BaselineFlags): Promise<void> {
  const { output } = shell
  const { shared, ...options } = flags
  const set: BaselineOptions['set'] = shared === true ? 'shared' : 'tenant'
  const { targets, failed } = await shell.withControlPlane((plane) =>
    plane.migrate.baseline({ ...options, set }),
  )
  const document = { targets, failed: failed.map(({ key, error }) => ({ key, error: toDocument(error) })) }
  output.result(document, () => {
    const verb = flags.dryRun === true ? 'would be recorded' : 'recorded'
    const lines = targets.map(({ key, recorded }) =>
      recorded.length === 0
        ? `${key}: nothing to take over`
        : `${key}: ${recorded.length} ${verb}, up to ${recorded.at(-1) ?? ''}`,
    )
    return lines.length === 0 ? 'Nobody could be taken over.' : lines.join('\n')
  })
  for (const { key, error } of failed) {
    output.notice(`${key}: ${error.code}: ${error.message}`)
    output.notice(`hint: ${error.hint}`)
  }
  if (failed.length > 0) shell.exitCode = 1
}
