/** `tenantry migrate diff`: which tenants' schemas are not what their migrations make, and what would mend one. */
import { Command } from 'commander'
import type { DriftedTenant, DriftReport } from '../../../migrate/drift/drift-report.ts'
import { tellDifference } from '../../../schema/diff/difference.ts'
import { clean } from '../../clean-text.ts'
import { toDocument } from '../../failure.ts'
import type { Output } from '../../output.ts'
import type { Shell } from '../../shell.ts'

export function diffCommand(shell: Shell): Command {
  return new Command('diff')
    .description('compare schemas with what their migrations make; changes nothing')
    .argument('[tenant]', 'one tenant, of which the SQL is shown that would mend it')
    .addHelpText('after', '\nExits with 1 where something differs.')
    .action(async (tenant: string | undefined) => {
      const { output } = shell
      const report = await shell.withControlPlane((plane) =>
        plane.migrate.diff({
          ...(tenant === undefined ? {} : { only: [tenant] }),
          onProgress: (compared) => output.progress(`compared ${compared}`),
        }),
      )
      const drifted = report.drifted.map(({ error, ...rest }) =>
        error === undefined ? rest : { ...rest, error: toDocument(error) },
      )
      output.result({ ...report, drifted }, () => render(report, output))
      if (drifted.length > 0) shell.exitCode = 1
    })
}

/** Of each tenant without its SQL, no more than so many lines. */
const MOST_LINES = 5

function render({ compared, same, drifted }: DriftReport, output: Output): string {
  if (drifted.length === 0) return `All ${compared} schemas are what their migrations make.`
  const blocks = drifted.map((tenant) =>
    [output.style('bold', tenant.key), ...linesOf(tenant, output)].join('\n'),
  )
  return `${blocks.join('\n\n')}\n\n${compared - same} of ${compared} schemas differ.`
}

function linesOf({ differences = [], repair, error }: DriftedTenant, output: Output): string[] {
  if (error !== undefined) return [output.style('red', `  ${clean(error.message)}`)]
  const shown = repair === undefined ? differences.slice(0, MOST_LINES) : differences
  const lines = shown.map((each) => `  ${clean(tellDifference(each))}`)
  if (shown.length < differences.length)
    lines.push(output.style('dim', `  and ${differences.length - shown.length} more`))
  if (differences.length === 0) lines.push(output.style('dim', '  differs'))
  if (repair === undefined) return lines
  return [
    ...lines,
    '',
    ...repair.statements.flatMap(({ sql, loses }) => [
      ...(loses === undefined ? [] : [output.style('yellow', `-- loses ${clean(loses)}`)]),
      `${sql};`,
    ]),
    ...repair.unsupported.map((object) =>
      output.style('yellow', `-- no statement is known for ${clean(object)}`),
    ),
  ]
}
