/** Rules on what keeps requests waiting: a lock that blocks them, held while rows are read or changed. */
import { type Fields, fieldsOf, findNodes, listOf, nameParts, textOf } from '../../shared-form/sql-nodes.ts'
import { constraintsOf } from '../locks/added-column.ts'
import { LOCK_MODES } from '../locks/lock-mode.ts'
import {
  alterCommands,
  earlier,
  existingTable,
  type LintedStatement,
  type MigrationRule,
} from '../migration-rule.ts'
import { onCommand, onLock } from './rule-shapes.ts'

const ALONE = 'in a file of its own that begins with `-- tenantry: no-transaction`'

/** Work on the rows of a table that is in use. */
export const LOCK_RULES: readonly MigrationRule[] = [
  onLock(
    'index-not-concurrent',
    ({ node, fields }) => node === 'IndexStmt' && fields['concurrent'] !== true,
    ({ table }) => ({
      reason: `Nobody can write to ${table} while its index is built.`,
      wayOut: `CREATE INDEX CONCURRENTLY, ${ALONE}. Where the table is small for every tenant, say so in an ignore.`,
    }),
  ),
  onLock(
    'reindex-not-concurrent',
    ({ node, locks }) => node === 'ReindexStmt' && locks.some(({ mode }) => mode === 'SHARE'),
    ({ table }) => ({
      reason: `Nobody can write to ${table} while its indexes are built, and reads that plan with them wait too.`,
      wayOut: `REINDEX … CONCURRENTLY, ${ALONE}.`,
    }),
  ),
  onLock(
    'refresh-not-concurrent',
    ({ node, locks }) => node === 'RefreshMatViewStmt' && locks.some(({ work }) => work === 'rewrite'),
    ({ table }) => ({
      reason: `Nobody can read ${table} while its query runs.`,
      wayOut: 'REFRESH MATERIALIZED VIEW CONCURRENTLY; it needs a unique index on the view.',
    }),
  ),
  {
    name: 'constraint-builds-index',
    level: 'warning',
    check(statement, context) {
      const table = existingTable(statement, context)
      if (table === undefined) return []
      const builds = alterCommands(statement).some(({ kind, column, constraint }) => {
        if (kind === 'AT_AddColumn') return constraintsOf(column ?? {}).some(buildsIndex)
        return kind === 'AT_AddConstraint' && constraint !== undefined && buildsIndex(constraint)
      })
      if (!builds) return []
      return [
        {
          reason: `Nobody can read or write ${table} while the constraint's index is built.`,
          wayOut: `CREATE UNIQUE INDEX CONCURRENTLY, ${ALONE}; in the next one ALTER TABLE … ADD CONSTRAINT … USING INDEX, which is brief.`,
        },
      ]
    },
  },
  onCommand(
    'exclusion-constraint',
    ({ constraint }) => constraint?.['contype'] === 'CONSTR_EXCLUSION',
    (table) => ({
      reason: `Nobody can read or write ${table} while the constraint's index is built, and PostgreSQL has no other way to add one.`,
      wayOut:
        'Add it while the table is small, or in a window in which the application rests; or check it in a trigger.',
    }),
  ),
  onCommand(
    'foreign-key-scans',
    ({ kind, constraint, column }) =>
      kind === 'AT_AddConstraint'
        ? isChecked(constraint, 'CONSTR_FOREIGN')
        : kind === 'AT_AddColumn' &&
          constraintsOf(column ?? {}).some((each) => each['contype'] === 'CONSTR_FOREIGN') &&
          constraintsOf(column ?? {}).some((each) => each['contype'] === 'CONSTR_DEFAULT'),
    (table) => ({
      reason: `Nobody can write to ${table}, nor to the table that the key points to, while every row is looked up.`,
      wayOut:
        'ADD CONSTRAINT … FOREIGN KEY … NOT VALID, which is brief; in the next migration VALIDATE CONSTRAINT, which lets writes pass.',
    }),
  ),
  onCommand(
    'check-scans',
    ({ kind, constraint, column }) =>
      kind === 'AT_AddConstraint'
        ? isChecked(constraint, 'CONSTR_CHECK')
        : kind === 'AT_AddColumn' &&
          constraintsOf(column ?? {}).some((each) => isChecked(each, 'CONSTR_CHECK')),
    (table) => ({
      reason: `Nobody can read or write ${table} while every row is checked.`,
      wayOut:
        'ADD CONSTRAINT … CHECK (…) NOT VALID, which is brief; in the next migration VALIDATE CONSTRAINT, which lets requests pass.',
    }),
  ),
  onCommand(
    'not-null-scans',
    ({ kind, name, constraint }, { known }, table) => {
      if (isChecked(constraint, 'CONSTR_NOTNULL')) return true
      if (kind !== 'AT_SetNotNull') return false
      const constraints = known.relations.get(table)?.constraints ?? []
      return !constraints.some(({ valid, notNull }) => valid && notNull.includes(name))
    },
    (table, column) => ({
      reason: `Nobody can read or write ${table} while every row is looked at.`,
      wayOut: `ADD CONSTRAINT c CHECK (${column || 'column'} IS NOT NULL) NOT VALID; in the next migration VALIDATE CONSTRAINT c; in the one after SET NOT NULL, which believes it, and DROP CONSTRAINT c. From PostgreSQL 18: ADD CONSTRAINT c NOT NULL … NOT VALID, then VALIDATE CONSTRAINT c.`,
    }),
  ),
  {
    name: 'attach-scans',
    level: 'advice',
    check: ({ node, locks }, { isNew }) =>
      node !== 'AlterTableStmt'
        ? []
        : locks
            .filter(
              ({ table, mode, work, note = '' }) =>
                mode === 'ACCESS EXCLUSIVE' && work === 'scan' && note.includes('bound') && !isNew(table),
            )
            .map(({ table }) => ({
              reason: `Every row of ${table} is checked against the bound, unless a constraint says the same already.`,
              wayOut: 'Add a CHECK with the bound as NOT VALID, validate it, attach, and drop it again.',
            })),
  },
  onLock(
    'domain-scans',
    ({ node, locks }) => node === 'AlterDomainStmt' && locks.length > 0,
    ({ table }) => ({
      reason: `Nobody can write to ${table} while every row is checked: it has a column of the domain.`,
      wayOut:
        'ALTER DOMAIN … ADD CONSTRAINT … NOT VALID, and VALIDATE CONSTRAINT in the next migration; or a CHECK of the table.',
    }),
  ),
  {
    name: 'validate-under-lock',
    level: 'warning',
    check(statement, context) {
      const table = existingTable(statement, context)
      const validates = alterCommands(statement).some(({ kind }) => kind === 'AT_ValidateConstraint')
      if (table === undefined || !validates) return []
      const held = earlier(context)
        .flatMap(({ locks }) => locks)
        .find((lock) => lock.table === table && LOCK_MODES.indexOf(lock.mode) >= LOCK_MODES.indexOf('SHARE'))
      if (held === undefined) return []
      return [
        {
          reason: `A statement before it holds ${held.mode} on ${table} until the end, so that requests wait while every row is checked.`,
          wayOut: 'Move VALIDATE CONSTRAINT to the next migration.',
        },
      ]
    },
  },
  {
    name: 'backfill-under-lock',
    level: 'warning',
    check(statement, context) {
      const long = statement.locks.some(
        ({ table, work }) => (work === 'rows' || work === 'index') && !context.isNew(table),
      )
      if (!long || isRowOfValues(statement)) return []
      const held = earlier(context)
        .flatMap(({ locks }) => locks)
        .find(({ table, mode }) => mode === 'ACCESS EXCLUSIVE' && !context.isNew(table))
      if (held === undefined) return []
      return [
        {
          reason: `A statement before it locks ${held.table} against every request, to the end of this one.`,
          wayOut: 'Change structure in one migration and rows in the next.',
        },
      ]
    },
  },
  {
    name: 'backfill-at-once',
    level: 'warning',
    check(statement, context) {
      const { node, fields } = statement
      if (!/^(Update|Delete)Stmt$/.test(node) || context.migration.options.batch) return []
      const table = existingTable(statement, context)
      if (table === undefined || picksRows(fields['whereClause'])) return []
      const verb = node === 'UpdateStmt' ? 'changes' : 'deletes'
      return [
        {
          reason: `It ${verb} rows of ${table} in one transaction: all stay locked to its end, and a large table grows and lags.`,
          wayOut:
            'Give it a file of its own that begins with `-- tenantry: batch`, and a WHERE that picks some thousand rows not done yet.',
        },
      ]
    },
  },
  onLock(
    'explicit-lock',
    ({ node, locks }) =>
      node === 'LockStmt' &&
      locks.some(({ mode }) => LOCK_MODES.indexOf(mode) >= LOCK_MODES.indexOf('SHARE')),
    ({ table, mode }) => ({
      reason: `It holds ${mode} on ${table} to the end of the migration.`,
      wayOut: 'Leave it out: each statement takes the lock that it needs.',
    }),
  ),
  {
    name: 'lock-timeout-off',
    level: 'warning',
    check({ node, fields }) {
      if (node !== 'VariableSetStmt' || fields['name'] !== 'lock_timeout') return []
      const constants = findNodes(fields['args'], 'A_Const')
      const off = constants.some(
        (each) => fieldsOf(each, 'ival')?.['ival'] === undefined && fieldsOf(each, 'ival') !== undefined,
      )
      const named = constants.some((each) => /^0\D*$/.test(textOf(fieldsOf(each, 'sval')?.['sval'])))
      return off || named || fields['kind'] === 'VAR_SET_DEFAULT'
        ? [
            {
              reason:
                'Without a limit a statement waits for its lock as long as anybody holds it, and every request queues behind it.',
              wayOut:
                '`-- tenantry: lock-timeout 10s` at the head of the file, where the usual time is too short.',
            },
          ]
        : []
    },
  },
]

function buildsIndex({ contype, indexname }: Fields): boolean {
  return (contype === 'CONSTR_PRIMARY' || contype === 'CONSTR_UNIQUE') && indexname === undefined
}

function isChecked(constraint: Fields | undefined, kind: string): boolean {
  if (constraint?.['contype'] !== kind || constraint['skip_validation'] === true) return false
  return kind === 'CONSTR_NOTNULL' || constraint['is_enforced'] === true
}

function isRowOfValues({ node, fields }: LintedStatement): boolean {
  return (
    node === 'InsertStmt' && listOf(fieldsOf(fields['selectStmt'], 'SelectStmt')?.['valuesLists']).length > 0
  )
}

/** Whether the condition names its rows: `key = 'x'`, `id in (1, 2)`, alone or with others. */
function picksRows(where: unknown): boolean {
  const all = fieldsOf(where, 'BoolExpr')
  if (all?.['boolop'] === 'AND_EXPR') return listOf(all['args']).some(picksRows)
  const comparison = fieldsOf(where, 'A_Expr')
  if (comparison === undefined) return false
  const equal =
    nameParts(comparison['name']).join('') === '=' && /^AEXPR_(OP|IN)$/.test(textOf(comparison['kind']))
  const constant =
    findNodes(comparison['rexpr'], 'ColumnRef').length === 0 &&
    findNodes(comparison['rexpr'], 'SubLink').length === 0
  return (
    equal &&
    constant &&
    findNodes(comparison['rexpr'], 'A_Const').every(({ boolval }) => boolval === undefined)
  )
}
