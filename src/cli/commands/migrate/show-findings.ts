/** What the lint says, in blocks for people: where and how bad, why, and what to do. */
import type { LintLevel } from '../../../core/migration-lint.ts'
import type { MigrationFinding } from '../../../migrate/lint/lint-migrations.ts'
import { placeInWords } from '../../../migrate/lint/require-sound.ts'
import { clean } from '../../clean-text.ts'
import type { Output } from '../../output.ts'

const COLOURS = { error: 'red', warning: 'yellow', advice: 'dim' } as const satisfies Record<
  LintLevel,
  string
>

/** One finding. @param indent before every line */
export function showFinding(
  finding: MigrationFinding,
  { style }: Pick<Output, 'style'>,
  indent = '',
): string {
  const { level, rule, reason, wayOut } = finding
  const place = clean(placeInWords(finding))
  return [
    `${style(COLOURS[level], level.padEnd(7))}  ${place}  ${style('dim', rule)}`,
    `         ${clean(reason)}`,
    style('dim', `         ${clean(wayOut)}`),
  ]
    .map((line) => indent + line)
    .join('\n')
}

/** `1 error, 2 warnings, advice: 0.` */
export function countFindings(findings: readonly MigrationFinding[]): string {
  const count = (level: LintLevel): number => findings.filter((finding) => finding.level === level).length
  const [errors, warnings] = [count('error'), count('warning')]
  return `${errors} ${errors === 1 ? 'error' : 'errors'}, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}, advice: ${count('advice')}.`
}
