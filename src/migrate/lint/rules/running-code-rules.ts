/** Rules on what breaks or surprises code that runs meanwhile, and on what a migration cannot do at all. */
import { type Fields, fieldsOf, findNodes, listOf, nameParts, textOf } from '../../shared-form/sql-nodes.ts'
import { droppedNames, type KnownSchema, ownName, relationName } from '../known-schema.ts'
import { constraintsOf, defaultOf, isSerial } from '../locks/added-column.ts'
import {
  alterCommands,
  existingTable,
  type LintContext,
  type LintedStatement,
  type MigrationRule,
} from '../migration-rule.ts'
import { typeText } from '../type-names.ts'

const LATER =
  'Release code that does not name it, then drop it in a migration of a later release, with an ignore that says so.'

/** Expand first, contract later. */
export const RUNNING_CODE_RULES: readonly MigrationRule[] = [
  {
    name: 'required-column',
    level: 'error',
    check(statement, context) {
      const table = existingTable(statement, context)
      if (table === undefined) return []
      return alterCommands(statement)
        .filter(
          ({ kind, column }) =>
            kind === 'AT_AddColumn' && column !== undefined && isRequired(context.known, column),
        )
        .map(({ column }) => ({
          reason: `${textOf(column?.['colname'])} is NOT NULL without a default: it fails for every tenant that has rows in ${table}, and running code cannot insert any.`,
          wayOut:
            'Give it a constant default; or add it without NOT NULL, fill it in a batch, and make it NOT NULL later.',
        }))
    },
  },
  {
    name: 'drop-column',
    level: 'warning',
    check(statement, context) {
      const table = existingTable(statement, context)
      if (table === undefined) return []
      return alterCommands(statement)
        .filter(({ kind }) => kind === 'AT_DropColumn')
        .map(({ name }) => ({
          reason: `Running code that names ${table}.${name} fails from then on, and its values are gone for every tenant.`,
          wayOut: LATER,
        }))
    },
  },
  {
    name: 'drop-table',
    level: 'warning',
    check: ({ node, fields }, { known, isNew }) =>
      node !== 'DropStmt' || !/^OBJECT_(TABLE|VIEW|MATVIEW|FOREIGN_TABLE)$/.test(textOf(fields['removeType']))
        ? []
        : droppedNames(known, fields)
            .filter((name) => !isNew(name))
            .map((name) => ({
              reason: `Running code that names ${name} fails from then on, and what it holds is gone for every tenant.`,
              wayOut: LATER,
            })),
  },
  {
    name: 'drop-cascade',
    level: 'warning',
    check(statement, { known, isNew }) {
      const { node, fields } = statement
      const commands = listOf(fields['cmds']).some(
        (each) =>
          fieldsOf(each, 'AlterTableCmd')?.['behavior'] === 'DROP_CASCADE' &&
          textOf(fieldsOf(each, 'AlterTableCmd')?.['subtype']).startsWith('AT_Drop'),
      )
      const drops = node === 'DropStmt' && fields['behavior'] === 'DROP_CASCADE'
      const names = drops ? droppedNames(known, fields) : [relationName(known, fields['relation'])]
      if (!(commands || drops) || names.every((name) => isNew(name))) return []
      return [
        {
          reason: 'CASCADE drops whatever depends on it, which may be more for one tenant than for another.',
          wayOut: 'Name what is to go, in an order in which each can.',
        },
      ]
    },
  },
  {
    name: 'drop-not-null',
    level: 'advice',
    check(statement, context) {
      const table = existingTable(statement, context)
      if (table === undefined) return []
      return alterCommands(statement)
        .filter(({ kind }) => kind === 'AT_DropNotNull')
        .map(({ name }) => ({
          reason: `Running code may not expect NULL in ${table}.${name}.`,
          wayOut: 'Release code that reads NULL first.',
        }))
    },
  },
  {
    name: 'rename-column',
    level: 'warning',
    check(statement, context) {
      const { node, fields } = statement
      const table = existingTable(statement, context)
      if (node !== 'RenameStmt' || fields['renameType'] !== 'OBJECT_COLUMN' || table === undefined) return []
      return [
        {
          reason: `Running code names ${table}.${textOf(fields['subname'])}, and fails until all of it is replaced; tenants are migrated one after the other meanwhile.`,
          wayOut:
            'A new column: write both, fill the old rows in a batch, read the new one, drop the old one.',
        },
      ]
    },
  },
  {
    name: 'rename-table',
    level: 'warning',
    check(statement, context) {
      const { node, fields } = statement
      const table = existingTable(statement, context)
      const kind = textOf(fields['renameType'])
      if (
        node !== 'RenameStmt' ||
        !/^OBJECT_(TABLE|VIEW|MATVIEW|FOREIGN_TABLE)$/.test(kind) ||
        table === undefined
      )
        return []
      return [
        {
          reason: `Running code names ${table}, and fails until all of it is replaced; tenants are migrated one after the other meanwhile.`,
          wayOut: `In the same migration CREATE VIEW ${table} AS SELECT * FROM ${textOf(fields['newname'])}, which can be written to as well; drop the view in a later release.`,
        },
      ]
    },
  },
  {
    name: 'rename-enum-value',
    level: 'warning',
    check({ node, fields }, { known }) {
      const type = ownName(known, nameParts(fields['typeName']))
      if (node !== 'AlterEnumStmt' || fields['oldVal'] === undefined) return []
      return [
        {
          reason: `Running code writes '${textOf(fields['oldVal'])}' of ${type}, which is refused from then on.`,
          wayOut: 'Add the new value, write and migrate to it, and leave the old one unused.',
        },
      ]
    },
  },
  {
    name: 'truncate',
    level: 'warning',
    check: ({ node, fields }, { known, isNew }) =>
      node !== 'TruncateStmt' || fields['behavior'] === 'DROP_CASCADE'
        ? []
        : listOf(fields['relations'])
            .map((each) => relationName(known, each['RangeVar']))
            .filter((table) => !isNew(table))
            .map((table) => ({
              reason: `It empties ${table} for every tenant, and nothing brings the rows back.`,
              wayOut: 'DELETE with a condition, in a batch; or an ignore that says whose rows these are.',
            })),
  },
  {
    name: 'truncate-cascade',
    level: 'error',
    check: ({ node, fields }, { known, isNew }) =>
      node !== 'TruncateStmt' ||
      fields['behavior'] !== 'DROP_CASCADE' ||
      listOf(fields['relations']).every((each) => isNew(relationName(known, each['RangeVar'])))
        ? []
        : [
            {
              reason:
                'It empties every table that points to the named ones too, for every tenant, and nothing brings the rows back.',
              wayOut: 'Name all tables that are to be emptied, without CASCADE.',
            },
          ],
  },
  {
    name: 'enum-value-used',
    level: 'error',
    check(statement, context) {
      const { node, fields } = statement
      const value = textOf(fields['newVal'])
      const type = ownName(context.known, nameParts(fields['typeName']))
      if (
        node !== 'AlterEnumStmt' ||
        fields['oldVal'] !== undefined ||
        !context.migration.options.transaction
      )
        return []
      // A value may be used where the type itself is of this transaction.
      const madeHere = context.statements
        .slice(0, context.index)
        .some(
          (before) =>
            before.node === 'CreateEnumStmt' &&
            ownName(context.known, nameParts(before.fields['typeName'])) === type,
        )
      const used = context.statements
        .slice(context.index + 1)
        .some((after) => usesValue(after, type, value, context.made[context.set]))
      if (madeHere || !used) return []
      return [
        {
          reason: `The new value '${value}' cannot be used in the transaction that adds it (55P04).`,
          wayOut: 'Use it in the next migration.',
        },
      ]
    },
  },
  {
    name: 'not-repeatable',
    level: 'warning',
    check({ node, fields }, { migration, statements }) {
      if (migration.options.transaction || statements.length < 2) return []
      const plain =
        (/^(Index|Create|CreateSeq|CreateSchema|CreateExtension)Stmt$/.test(node) &&
          fields['if_not_exists'] !== true) ||
        (node === 'DropStmt' && fields['missing_ok'] !== true) ||
        (node === 'AlterTableStmt' &&
          !/DetachPartition|SetRelOptions|SetStatistics|ValidateConstraint/.test(
            JSON.stringify(fields['cmds']),
          ))
      return plain
        ? [
            {
              reason:
                'Outside of a transaction what ran stays: where a later statement fails, this one is repeated, and fails itself.',
              wayOut: 'IF NOT EXISTS or IF EXISTS, or a file for each statement.',
            },
          ]
        : []
    },
  },
  {
    name: 'dynamic-sql',
    level: 'advice',
    check: ({ node, text }) =>
      node === 'DoStmt' && /\bexecute\b/i.test(text.replaceAll(/--[^\n]*|\/\*[\s\S]*?\*\//g, ''))
        ? [
            {
              reason: 'What EXECUTE runs is made up while it runs: no rule, and no list of locks, knows it.',
              wayOut: 'Plain statements, with IF EXISTS or IF NOT EXISTS where one may be superfluous.',
            },
          ]
        : [],
  },
]

function isRequired(known: KnownSchema, column: Fields): boolean {
  const kinds = constraintsOf(column).map(({ contype }) => contype)
  const fills =
    kinds.some((kind) => kind === 'CONSTR_IDENTITY' || kind === 'CONSTR_GENERATED') || isSerial(column)
  const notNull = kinds.some((kind) => kind === 'CONSTR_NOTNULL' || kind === 'CONSTR_PRIMARY')
  // A domain may have a default of its own.
  const own =
    known.types.get(ownName(known, nameParts(fieldsOf(column, 'typeName')?.['names'])))?.kind === 'domain'
  return notNull && !fills && !own && defaultOf(column) === undefined
}

/** Whether a statement holds the value as one of the type: in a cast, or in a statement on a table with such a column. */
function usesValue(
  { node, fields }: LintedStatement,
  type: string,
  value: string,
  made: LintContext['known'],
): boolean {
  const tree = { [node]: fields }
  const holds = findNodes(tree, 'A_Const').some((each) => fieldsOf(each, 'sval')?.['sval'] === value)
  if (!holds || node === 'AlterEnumStmt' || node === 'CommentStmt') return false
  if (/^Create(Function|Trig)Stmt$|^DoStmt$/.test(node)) return false
  const named = findNodes(tree, 'typeName').some((each) => typeText(each).replace(/\[\]$/, '') === type)
  const tables = [...findNodes(tree, 'RangeVar'), ...findNodes(tree, 'relation')].map((each) =>
    relationName(made, each),
  )
  return (
    named || tables.some((table) => [...(made.relations.get(table)?.columns.values() ?? [])].includes(type))
  )
}
