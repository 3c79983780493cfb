/** Rules on what writes a whole table anew while nobody can read it. */
import { type Fields, fieldsOf } from '../../shared-form/sql-nodes.ts'
import { rewriteCause } from '../locks/added-column.ts'
import { alterCommands, type MigrationRule, type Problem } from '../migration-rule.ts'
import { keepsRows, typeText } from '../type-names.ts'
import { onCommand } from './rule-shapes.ts'

/** Of tables that are in use. */
export const REWRITE_RULES: readonly MigrationRule[] = [
  rewriting('volatile-default', 'default', (table) => ({
    reason: `Nobody can read or write ${table} while it is written anew: the default gives each row a value of its own.`,
    wayOut: 'ADD COLUMN without a default; ALTER COLUMN … SET DEFAULT; fill the old rows in a batch.',
  })),
  rewriting('identity-column', 'identity', (table) => ({
    reason: `Nobody can read or write ${table} while it is written anew: each row gets a number.`,
    wayOut:
      'ADD COLUMN of type bigint, fill it in a batch, then make it NOT NULL and ADD GENERATED … AS IDENTITY.',
  })),
  rewriting('generated-column', 'generated', (table) => ({
    reason: `Nobody can read or write ${table} while it is written anew: each row gets its stored value.`,
    wayOut:
      'A plain column that a trigger fills, with old rows filled in a batch; or, from PostgreSQL 18, a VIRTUAL column.',
  })),
  onCommand(
    'type-change',
    ({ kind, column, name }, { known }, table) =>
      kind === 'AT_AlterColumnType' && changesRows(column, known.relations.get(table)?.columns.get(name)),
    (table, column) => ({
      reason: `Nobody can read or write ${table} while it is written anew for the new type of ${column}, and running code sees another type.`,
      wayOut: 'A new column: write both, fill the old rows in a batch, read the new one, drop the old one.',
    }),
  ),
  {
    name: 'table-rewrite',
    level: 'warning',
    check(statement, { known, isNew }) {
      const commands = alterCommands(statement)
      const told = commands.some(({ kind, column }) => {
        const cause = kind === 'AT_AddColumn' ? rewriteCause(known, column ?? {}) : undefined
        return kind === 'AT_AlterColumnType' || (cause !== undefined && cause !== 'domain')
      })
      if (told || !/^(AlterTable|Cluster|Vacuum)Stmt$/.test(statement.node)) return []
      return statement.locks
        .filter(({ table, work }) => work === 'rewrite' && !isNew(table))
        .map(({ table }) => ({
          reason: `Nobody can read or write ${table} while it is written anew.`,
          wayOut:
            'Leave it out of migrations; pg_repack does it beside running requests, in a window of your choice.',
        }))
    },
  },
]

function rewriting(
  name: MigrationRule['name'],
  cause: ReturnType<typeof rewriteCause>,
  problem: (table: string) => Problem,
): MigrationRule {
  return onCommand(
    name,
    ({ kind, column }, { known }) => kind === 'AT_AddColumn' && rewriteCause(known, column ?? {}) === cause,
    problem,
  )
}

function changesRows(column: Fields | undefined, from: string | undefined): boolean {
  return (
    keepsRows(from, typeText(fieldsOf(column, 'typeName')), column?.['raw_default'] as Fields | undefined) !==
    true
  )
}
