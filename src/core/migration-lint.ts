/** The rules that migrations are read with before they run, by name, and what a configuration says of them. */

/** How bad a finding is: `error` breaks or opens something, `warning` holds requests up or breaks them, `advice` costs later. */
export const LINT_LEVELS = ['error', 'warning', 'advice'] as const

/** How bad a finding is. */
export type LintLevel = (typeof LINT_LEVELS)[number]

/** Every rule; docs/reference/migration-lint.md says what each finds. */
export const MIGRATION_RULES = [
  // Locks and work
  'index-not-concurrent',
  'reindex-not-concurrent',
  'refresh-not-concurrent',
  'constraint-builds-index',
  'exclusion-constraint',
  'foreign-key-scans',
  'check-scans',
  'not-null-scans',
  'attach-scans',
  'domain-scans',
  'validate-under-lock',
  'backfill-under-lock',
  'backfill-at-once',
  'volatile-default',
  'identity-column',
  'generated-column',
  'type-change',
  'table-rewrite',
  'explicit-lock',
  'lock-timeout-off',
  // Code that runs meanwhile
  'required-column',
  'drop-column',
  'drop-table',
  'drop-cascade',
  'drop-not-null',
  'rename-column',
  'rename-table',
  'rename-enum-value',
  'truncate',
  'truncate-cascade',
  'enum-value-used',
  'not-repeatable',
  'dynamic-sql',
  // Tenants
  'hard-coded-schema',
  'ddl-outside-tenant',
  'rows-outside-tenant',
  'on-conflict-columns',
  'no-shared-form',
  'global-unique',
  'role-change',
  'grant-change',
  'definer-search-path',
  'row-security-off',
  // Types and names
  'int-key',
  'serial-column',
  'json-column',
  'char-column',
  'timestamp-without-zone',
  'identifier-too-long',
  // The ignores themselves
  'unused-ignore',
] as const

/** The name of a rule. */
export type MigrationRuleName = (typeof MIGRATION_RULES)[number]

/** What `migrations.lint` of a configuration says. */
export interface MigrationLintSettings {
  /** Another level for a rule, or `off`. */
  readonly rules?: Readonly<Partial<Record<MigrationRuleName, LintLevel | 'off'>>>
  /** The mildest finding that keeps `migrate up` from running; `error` by default. */
  readonly refuse?: LintLevel | 'never'
}

/** What is wrong with such settings, in words for TNY002: files are written by hand. */
export function lintSettingsProblem(value: unknown): string | undefined {
  if (!isObject(value)) return 'is not an object of rules and refuse'
  for (const [name, setting] of Object.entries(value)) {
    if (setting === undefined) continue
    if (name === 'refuse') {
      if (isLevel(setting) || setting === 'never') continue
      return `says for \`refuse\` none of ${LINT_LEVELS.join(', ')}, never`
    }
    if (name !== 'rules') return `has no option \`${name}\` (there is rules, refuse)`
    if (!isObject(setting)) return 'says no object for `rules`'
    for (const [rule, level] of Object.entries(setting)) {
      if (!isRule(rule)) return `names a rule \`${rule}\`, which does not exist${likely(rule)}`
      if (level === undefined || isLevel(level) || level === 'off') continue
      return `says for \`${rule}\` none of ${LINT_LEVELS.join(', ')}, off`
    }
  }
  return undefined
}

/** Whether there is a rule of this name. */
export function isRule(name: string): name is MigrationRuleName {
  return (MIGRATION_RULES as readonly string[]).includes(name)
}

/** `; the nearest is …` for a name that shares a word with a rule's. */
export function likely(name: string): string {
  const words = new Set(name.toLowerCase().split(/[^a-z]+/))
  const common = (rule: string): number => rule.split('-').filter((word) => words.has(word)).length
  const best = MIGRATION_RULES.toSorted((a, b) => common(b) - common(a))[0]
  return best === undefined || common(best) === 0 ? '' : `; the nearest is ${best}`
}

function isLevel(value: unknown): boolean {
  return (LINT_LEVELS as readonly unknown[]).includes(value)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
