/** The two shapes that most rules on locks have. */
import { textOf } from '../../shared-form/sql-nodes.ts'
import type { TableLock } from '../locks/lock-mode.ts'
import {
  alterCommands,
  existingTable,
  type LintContext,
  type LintedStatement,
  type MigrationRule,
  type Problem,
} from '../migration-rule.ts'

/** A rule on one command of ALTER TABLE, on a table that is in use. */
export function onCommand(
  name: MigrationRule['name'],
  find: (command: ReturnType<typeof alterCommands>[number], context: LintContext, table: string) => boolean,
  problem: (table: string, column: string) => Problem,
): MigrationRule {
  return {
    name,
    level: 'warning',
    check(statement, context) {
      const table = existingTable(statement, context)
      if (table === undefined || !/^OBJECT_(TABLE|FOREIGN_TABLE)$/.test(textOf(statement.fields['objtype'])))
        return []
      return alterCommands(statement)
        .filter((command) => find(command, context, table))
        .map(({ name: named, column }) => problem(table, named === '' ? textOf(column?.['colname']) : named))
    },
  }
}

/** A rule on a statement that does `work` under a lock: one finding for each table in use. */
export function onLock(
  name: MigrationRule['name'],
  finds: (statement: LintedStatement) => boolean,
  problem: (lock: TableLock) => Problem,
): MigrationRule {
  return {
    name,
    level: 'warning',
    check: (statement, { isNew }) =>
      finds(statement) ? statement.locks.filter(({ table }) => !isNew(table)).map(problem) : [],
  }
}
