/** Reads migrations with every rule, before any of them runs. */
import {
  LINT_LEVELS,
  likely,
  isRule,
  type LintLevel,
  type MigrationLintSettings,
  type MigrationRuleName,
} from '../../core/migration-lint.ts'
import { loadParser } from '../../sql/statement.ts'
import { lineInFile, type Migration } from '../files/migration.ts'
import { splitStatements } from '../shared-form/sql-nodes.ts'
import { statementsInside } from './code-inside.ts'
import { createKnownSchema, type KnownSchema } from './known-schema.ts'
import { learn } from './learn-statement.ts'
import type { TableLock } from './locks/lock-mode.ts'
import { locksOf } from './locks/statement-locks.ts'
import { coverOf } from './ignores.ts'
import type { LintContext, LintedStatement, MigrationRule, Problem } from './migration-rule.ts'
import { RULES } from './migration-rules.ts'
import { TENANT_RULES } from './rules/tenant-rules.ts'

/** What a rule says of a place in a file. */
export interface MigrationFinding {
  readonly rule: MigrationRuleName
  readonly level: LintLevel
  /** The file in its folder: `tenant/1700000000000_create-orders.sql`. */
  readonly file: string
  /** From 1; `undefined` where code does not tell it. */
  readonly line: number | undefined
  readonly column: number | undefined
  readonly reason: string
  readonly wayOut: string
}

/** The migrations of a project, and what is known of where they ran. */
export interface LintInput {
  readonly shared: readonly Migration[]
  readonly tenant: readonly Migration[]
  readonly settings?: MigrationLintSettings | undefined
  /**
   * How many of each set ran, one number for each place that differs: those that ran everywhere are not looked at, and a
   * table is new where every place that is behind gets it in the same run. Without it every file is looked at by itself.
   */
  readonly ran?: { readonly shared: readonly number[]; readonly tenant: readonly number[] } | undefined
  /** Whether there are tenants that share tables. */
  readonly sharing?: LintContext['sharing'] | undefined
  /** Rules alone whose findings `up` would refuse: for those who ask nothing else. */
  readonly refusedOnly?: boolean | undefined
}

/** One statement as `plan` shows it. */
export interface LintedPlace extends LintedStatement {
  /** The locks without those of tables that nobody uses yet. */
  readonly held: readonly TableLock[]
  readonly line: number | undefined
  readonly column: number | undefined
}

/** A migration that was read. */
export interface LintedMigration {
  readonly set: 'shared' | 'tenant'
  readonly migration: Migration
  /** Statements of DO blocks follow the block that they stand in. */
  readonly statements: readonly LintedPlace[]
  readonly findings: readonly MigrationFinding[]
}

/**
 * Every migration that is to run, with its statements, their locks, and what rules found; in the order in which they run.
 * @example
 * const read = await lintMigrations({ shared, tenant, sharing: 'none' })
 * const errors = read.flatMap(({ findings }) => findings).filter(({ level }) => level === 'error')
 */
export async function lintMigrations(input: LintInput): Promise<readonly LintedMigration[]> {
  await loadParser()
  const made = { shared: madeBy(input.shared, 'public'), tenant: madeBy(input.tenant) }
  return [...lintSet('shared', input, made), ...lintSet('tenant', input, made)]
}

/** Everything that a set ever makes. */
function madeBy(migrations: readonly Migration[], own?: string): KnownSchema {
  const known = createKnownSchema(own)
  for (const [number, migration] of migrations.entries()) {
    for (const statement of statementsOf(migration)) {
      // What is dropped later was the set's own all the same.
      if (statement.node !== 'DropStmt') learn(known, statement, number)
    }
  }
  return known
}

function lintSet(
  set: 'shared' | 'tenant',
  { settings = {}, ran, sharing = 'unknown', refusedOnly = false, ...sets }: LintInput,
  made: LintContext['made'],
): readonly LintedMigration[] {
  const rules = refusedOnly ? rulesThatRefuse(settings) : RULES
  const known = createKnownSchema(set === 'shared' ? 'public' : undefined)
  const read: LintedMigration[] = []
  for (const [number, migration] of sets[set].entries()) {
    const behind = ran?.[set].filter((count) => count <= number)
    const isOfFile = (table: string): boolean => known.relations.get(table)?.madeBy === number
    const isNew = (table: string): boolean => {
      const since = known.relations.get(table)?.madeBy
      if (behind === undefined || since === undefined) return isOfFile(table)
      return behind.every((count) => count <= since)
    }
    const [statements, found, possible]: [LintedPlace[], Found[], Found[]] = [[], [], []]
    const all = statementsOf(migration)
    for (const [index, statement] of all.entries()) {
      const locks = locksOf(statement, known)
      const held = locks.filter(({ table }) => !isNew(table))
      const linted = { ...statement, locks, held, ...placeOf(migration, statement.at) }
      statements.push(linted)
      const context = {
        set,
        migration,
        known,
        made,
        index,
        statements: [...statements, ...all.slice(index + 1).map((later) => ({ ...later, locks: [] }))],
      }
      if (behind?.length !== 0) found.push(...runRules(rules, linted, { ...context, isNew, sharing }))
      // What an ignore is for may be spared this run: a table that is new to it.
      if (behind?.length !== 0 && migration.ignores.length > 0) {
        possible.push(...runRules(rules, linted, { ...context, isNew: isOfFile, sharing: 'unknown' }))
      }
      learn(known, statement, number)
    }
    if (behind?.length === 0) continue
    read.push({
      set,
      migration,
      statements,
      findings: judge(migration, { found, possible, statements }, settings),
    })
  }
  return read
}

/** Statements, and behind a DO block those inside of it. */
function statementsOf(migration: Migration): readonly Omit<LintedStatement, 'locks'>[] {
  if (migration.statements.length === 0) return []
  return splitStatements(migration.up, migration.statements).flatMap((statement) => [
    { ...statement, inside: undefined },
    ...statementsInside(statement).map((each) => ({ ...each, inside: statement })),
  ])
}

function placeOf(migration: Migration, at: number): Pick<LintedPlace, 'line' | 'column'> {
  const line = lineInFile(migration, at)
  const column = migration.lines === undefined ? at - migration.up.lastIndexOf('\n', at - 1) : undefined
  return { line, column }
}

function runRules(
  rules: readonly MigrationRule[],
  statement: LintedPlace,
  context: LintContext,
): readonly Found[] {
  const found = rules.flatMap((rule) =>
    rule.check(statement, context).map((problem) => {
      // Where nobody knows whether tenants share tables, it is no more than worth a thought.
      const maybe = ABOUT_SHARING.has(rule.name) && context.sharing === 'unknown'
      return { rule: rule.name, level: maybe ? ('advice' as const) : rule.level, problem, statement }
    }),
  )
  // The others say it better.
  const said = found.some(({ rule }) =>
    TENANT_RULES.some(({ name }) => name === rule && name !== 'no-shared-form'),
  )
  return said ? found.filter(({ rule }) => rule !== 'no-shared-form') : found
}

/** All of them where an ignore that matches nothing is refused too: whether it does is not known otherwise. */
function rulesThatRefuse({ rules = {}, refuse = 'error' }: MigrationLintSettings): readonly MigrationRule[] {
  const reaches = (level: LintLevel | 'off'): boolean =>
    level !== 'off' && refuse !== 'never' && LINT_LEVELS.indexOf(level) <= LINT_LEVELS.indexOf(refuse)
  if (reaches(rules['unused-ignore'] ?? 'warning')) return RULES
  return RULES.filter(({ name, level }) => reaches(rules[name] ?? level))
}

const ABOUT_SHARING = new Set<MigrationRuleName>(['on-conflict-columns', 'no-shared-form'])

interface Found {
  readonly rule: MigrationRuleName
  readonly level: LintLevel
  readonly problem: Problem
  readonly statement: LintedPlace
}

/** What is left after ignores and settings, in the order of the file. */
function judge(
  migration: Migration,
  read: {
    readonly found: readonly Found[]
    readonly possible: readonly Found[]
    readonly statements: readonly LintedPlace[]
  },
  { rules = {} }: MigrationLintSettings,
): readonly MigrationFinding[] {
  const covered = migration.ignores.map((ignore) => ({
    ...ignore,
    covers: coverOf(migration, ignore, read.statements),
  }))
  const isIgnored = ({ rule, statement }: Found): boolean =>
    covered.some((ignore) => ignore.rule === rule && ignore.covers(statement))
  const findings = read.found
    .filter((each) => !isIgnored(each))
    .map(({ rule, level, problem, statement: { line, column } }) => ({
      rule,
      level,
      line,
      column,
      ...problem,
    }))
  const unused = covered
    .filter(({ rule, covers }) => !read.possible.some((each) => each.rule === rule && covers(each.statement)))
    .filter(({ rule }) => !(isRule(rule) && rules[rule] === 'off'))
    .map(({ rule, line }) => ({
      rule: 'unused-ignore' as const,
      level: 'warning' as const,
      line,
      column: 1,
      reason: isRule(rule)
        ? `There is no ${rule} here to ignore.`
        : `There is no rule ${rule} to ignore${likely(rule)}.`,
      wayOut: 'Take the ignore out, or correct it: it would hide what comes later.',
    }))
  return [...findings, ...unused].flatMap(({ rule, level, line, column, reason, wayOut }) => {
    const set = rules[rule] ?? level
    return set === 'off' ? [] : [{ rule, level: set, file: migration.file, line, column, reason, wayOut }]
  })
}

/** The worst first; in the order of files and lines otherwise. */
export function byLevel(findings: readonly MigrationFinding[]): readonly MigrationFinding[] {
  return findings.toSorted((a, b) => LINT_LEVELS.indexOf(a.level) - LINT_LEVELS.indexOf(b.level))
}
