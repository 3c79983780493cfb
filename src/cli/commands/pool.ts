/** `tenantry pool`: homes made ahead, which sign-ups take. */
import { Command, InvalidArgumentError } from 'commander'
import { TenantryError } from '../../core/errors.ts'
import type { ReadyHome } from '../../lifecycle/ready-homes/ready-homes.ts'
import { misuse } from '../failure.ts'
import type { Shell } from '../shell.ts'
import { type Column, day, renderTable } from '../table.ts'

export function poolCommand(shell: Shell): Command {
  return new Command('pool')
    .description('make homes ahead, so that a sign-up is one commit without DDL')
    .addCommand(fillCommand(shell))
    .addCommand(statusCommand(shell))
    .addCommand(drainCommand(shell))
}

function fillCommand(shell: Shell): Command {
  return new Command('fill')
    .description('bring the homes of the pool to the newest migration, and make new ones')
    .option(
      '--size <count>',
      'how many shall be ready (default: `warmPool` of tenantry.config.ts)',
      parseSize,
    )
    .addHelpText('after', '\nExample:\n  $ tenantry pool fill --size 20')
    .action(async ({ size: given }: { size?: number }) => {
      const { output } = shell
      const size = given ?? (await shell.project()).config.warmPool
      if (size === undefined) {
        throw misuse(
          'How many homes shall be ready?',
          'Pass --size, or set `warmPool` in tenantry.config.ts.',
        )
      }
      const { made, updated, failed, ready } = await shell.withControlPlane(async ({ pool }) => {
        const report = await pool.fill({
          size,
          onProgress: ({ done }) => output.progress(`${done} made or brought up to date`),
        })
        return { ...report, ready: (await pool.status()).ready }
      })
      output.result(
        { ready, made, updated, failed: failed.map(({ schema }) => schema) },
        () => `Ready: ${ready} (${made} new, ${updated} brought up to date).`,
      )
      const [first] = failed
      if (first === undefined) return
      const reason =
        first.error instanceof Error ? first.error.message.replace(/\.$/, '') : String(first.error)
      throw new TenantryError('TNY430', { params: { failed: failed.length, reason }, cause: first.error })
    })
}

const COLUMNS: readonly Column<ReadyHome>[] = [
  { title: 'schema', value: ({ schema }) => schema },
  { title: 'state', value: ({ state }) => state },
  { title: 'made', value: ({ madeAt }) => (madeAt === undefined ? 'not yet' : day(madeAt)) },
]

function statusCommand(shell: Shell): Command {
  return new Command('status')
    .description('show the homes of the pool: ready, stale, unfinished or lost')
    .action(async () => {
      const { output } = shell
      const status = await shell.withControlPlane(({ pool }) => pool.status())
      output.result(status, () =>
        status.homes.length === 0
          ? 'The pool is empty: tenantry pool fill --size 10'
          : renderTable(COLUMNS, status.homes, output),
      )
    })
}

function drainCommand(shell: Shell): Command {
  return new Command('drain')
    .description('drop the homes that nobody took, with their roles')
    .option('--stale', 'only those that no sign-up would get')
    .action(async ({ stale = false }: { stale?: boolean }) => {
      const { dropped } = await shell.withControlPlane(({ pool }) => pool.drain({ stale }))
      shell.output.result({ dropped }, () => `Dropped ${dropped}.`)
    })
}

function parseSize(text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It is a whole number.')
}
