/** What a rule on migrations looks at, and what it says. */
import type { LintLevel, MigrationRuleName } from '../../core/migration-lint.ts'
import type { Migration } from '../files/migration.ts'
import { type Fields, fieldsOf, listOf, type SqlStatement, textOf } from '../shared-form/sql-nodes.ts'
import { type KnownSchema, relationName } from './known-schema.ts'
import type { TableLock } from './locks/lock-mode.ts'

/** What a rule found, before it is known where. */
export interface Problem {
  readonly reason: string
  readonly wayOut: string
}

/** A statement of a migration, or one inside of a DO block. */
export interface LintedStatement extends SqlStatement {
  readonly locks: readonly TableLock[]
  /** The DO block that it stands in. */
  readonly inside: SqlStatement | undefined
}

/** What surrounds a statement. */
export interface LintContext {
  readonly set: 'shared' | 'tenant'
  readonly migration: Pick<Migration, 'options'>
  /** What is known before the statement runs. */
  readonly known: KnownSchema
  /** Everything that the tenant migrations and the shared ones ever make: whose a name is. */
  readonly made: { readonly tenant: KnownSchema; readonly shared: KnownSchema }
  /** All statements of the file, in order. */
  readonly statements: readonly LintedStatement[]
  /** The number of the statement in `statements`. */
  readonly index: number
  /** Whether the migration, or the run, makes the table itself, so that nobody uses it yet. */
  isNew(table: string): boolean
  /** Whether there are tenants that share tables. */
  readonly sharing: 'some' | 'none' | 'unknown'
}

/** One rule. */
export interface MigrationRule {
  readonly name: MigrationRuleName
  readonly level: LintLevel
  check(statement: LintedStatement, context: LintContext): readonly Problem[]
}

/** A command of ALTER TABLE. */
export interface AlterCommand {
  /** The grammar's name: `AT_AddColumn`. */
  readonly kind: string
  /** The column, constraint or trigger that it names. */
  readonly name: string
  readonly column: Fields | undefined
  readonly constraint: Fields | undefined
}

/** The commands of an ALTER TABLE; none of any other statement. */
export function alterCommands({
  node,
  fields,
}: Pick<SqlStatement, 'node' | 'fields'>): readonly AlterCommand[] {
  if (node !== 'AlterTableStmt') return []
  return listOf(fields['cmds']).map((each) => {
    const { subtype, name, def } = fieldsOf(each, 'AlterTableCmd') ?? {}
    return {
      kind: textOf(subtype),
      name: textOf(name),
      column: fieldsOf(def, 'ColumnDef'),
      constraint: fieldsOf(def, 'Constraint'),
    }
  })
}

/** The table that a statement changes, where others may use it; `undefined` where it is new. */
export function existingTable({ fields }: LintedStatement, context: LintContext): string | undefined {
  const table = relationName(context.known, fields['relation'])
  return table === '' || context.isNew(table) ? undefined : table
}

/** The statements before this one in the same transaction. */
export function earlier({ statements, index, migration }: LintContext): readonly LintedStatement[] {
  return migration.options.transaction ? statements.slice(0, index) : []
}
