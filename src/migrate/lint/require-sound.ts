/** Keeps migrations from running that the lint has found wrong. */
import { TenantryError } from '../../core/errors.ts'
import { LINT_LEVELS, type MigrationLintSettings } from '../../core/migration-lint.ts'
import { byLevel, type LintedMigration, type MigrationFinding } from './lint-migrations.ts'

/** How many findings the message itself names. */
const NAMED = 5

/** What `up` refuses by these settings: errors, where they say nothing else. */
export function refusedFindings(
  read: readonly LintedMigration[],
  { refuse = 'error' }: MigrationLintSettings,
): readonly MigrationFinding[] {
  if (refuse === 'never') return []
  const worst = LINT_LEVELS.indexOf(refuse)
  return byLevel(read.flatMap(({ findings }) => findings)).filter(
    ({ level }) => LINT_LEVELS.indexOf(level) <= worst,
  )
}

/** @throws TNY434 which names what was found first. */
export function requireSound(read: readonly LintedMigration[], settings: MigrationLintSettings): void {
  const refused = refusedFindings(read, settings)
  if (refused.length === 0) return
  const named = refused
    .slice(0, NAMED)
    .map((finding) => `${placeInWords(finding)} ${finding.rule} (${finding.reason.replace(/\.$/, '')})`)
  const findings = [...named, ...(refused.length > NAMED ? [`and ${refused.length - NAMED} more`] : [])].join(
    '; ',
  )
  const count = refused.length === 1 ? 'a finding' : `${refused.length} findings`
  throw new TenantryError('TNY434', { params: { count, findings } })
}

/** `tenant/3_totals.sql:5:1`, as editors and terminals open it. */
export function placeInWords({
  file,
  line,
  column,
}: Pick<MigrationFinding, 'file' | 'line' | 'column'>): string {
  return [file, line, column].filter((part) => part !== undefined).join(':')
}
