/** The lock and the work of each command of ALTER TABLE (AlterTableGetLockLevel in PostgreSQL's tablecmds.c). */
import { type Fields, fieldsOf, listOf, nameParts, textOf } from '../../shared-form/sql-nodes.ts'
import { type KnownRelation, type KnownSchema, relationName } from '../known-schema.ts'
import { keepsRows, typeText } from '../type-names.ts'
import { addedColumnWork } from './added-column.ts'
import type { LockMode, TableLock, Work } from './lock-mode.ts'

/** What one command takes: of its own table, and of others. */
interface CommandCost {
  readonly mode: LockMode
  readonly work: Work
  readonly note?: string | undefined
  readonly others?: readonly TableLock[]
}

/** A command of ALTER TABLE on one table. */
interface Command {
  readonly name: string
  readonly def: unknown
  readonly table: string
  /** What is known of the table before this statement. */
  readonly relation: KnownRelation | undefined
  readonly known: KnownSchema
}

const brief = (mode: LockMode): CommandCost => ({ mode, work: 'brief' })
const rewrite: CommandCost = { mode: 'ACCESS EXCLUSIVE', work: 'rewrite' }

/** Commands whose cost follows from their kind alone; every other one is brief under ACCESS EXCLUSIVE. */
const PLAIN: Readonly<Record<string, CommandCost>> = {
  AT_SetStatistics: brief('SHARE UPDATE EXCLUSIVE'),
  AT_SetOptions: brief('SHARE UPDATE EXCLUSIVE'),
  AT_ResetOptions: brief('SHARE UPDATE EXCLUSIVE'),
  AT_ClusterOn: brief('SHARE UPDATE EXCLUSIVE'),
  AT_DropCluster: brief('SHARE UPDATE EXCLUSIVE'),
  AT_EnableTrig: brief('SHARE ROW EXCLUSIVE'),
  AT_EnableAlwaysTrig: brief('SHARE ROW EXCLUSIVE'),
  AT_EnableReplicaTrig: brief('SHARE ROW EXCLUSIVE'),
  AT_EnableTrigAll: brief('SHARE ROW EXCLUSIVE'),
  AT_EnableTrigUser: brief('SHARE ROW EXCLUSIVE'),
  AT_DisableTrig: brief('SHARE ROW EXCLUSIVE'),
  AT_DisableTrigAll: brief('SHARE ROW EXCLUSIVE'),
  AT_DisableTrigUser: brief('SHARE ROW EXCLUSIVE'),
  AT_SetLogged: rewrite,
  AT_SetUnLogged: rewrite,
  AT_SetAccessMethod: { ...rewrite, note: 'unless it has that one already' },
  AT_SetTableSpace: { ...rewrite, note: 'the files are copied' },
  AT_SetExpression: { ...rewrite, note: 'of a virtual column it is brief' },
}

/** Storage parameters of which a change disturbs readers; all others take SHARE UPDATE EXCLUSIVE. */
const DISTURBING = new Set(['user_catalog_table', 'security_barrier', 'security_invoker', 'check_option'])

const COMPUTED: Readonly<Record<string, (command: Command) => CommandCost>> = {
  AT_AddColumn: addColumn,
  AT_AlterColumnType: alterType,
  AT_SetNotNull: setNotNull,
  AT_AddConstraint: addConstraint,
  AT_ValidateConstraint: validate,
  AT_AlterConstraint: alterConstraint,
  AT_DropConstraint: (command) => dropping(command, ({ name }) => name === command.name),
  AT_DropColumn: (command) => dropping(command, ({ columns }) => columns.includes(command.name)),
  AT_AttachPartition: attach,
  AT_DetachPartition: detach,
  AT_DetachPartitionFinalize: detach,
  AT_AddInherit: ({ def, known }) => ({
    ...brief('ACCESS EXCLUSIVE'),
    others: [
      {
        table: relationName(known, fieldsOf(def, 'RangeVar')),
        mode: 'SHARE UPDATE EXCLUSIVE',
        work: 'brief',
      },
    ],
  }),
  AT_DropInherit: ({ def, known }) => ({
    ...brief('ACCESS EXCLUSIVE'),
    others: [{ table: relationName(known, fieldsOf(def, 'RangeVar')), mode: 'ACCESS SHARE', work: 'brief' }],
  }),
  AT_SetRelOptions: relationOptions,
  AT_ResetRelOptions: relationOptions,
}

/** Every lock of an ALTER TABLE: its own table has the strongest that one of its commands needs. */
export function alterTableLocks(
  known: KnownSchema,
  table: string,
  commands: readonly Fields[],
): readonly TableLock[] {
  const relation = known.relations.get(table)
  return commands.flatMap((command) => {
    const { subtype, name, def } = fieldsOf(command, 'AlterTableCmd') ?? {}
    const kind = textOf(subtype)
    const compute = COMPUTED[kind]
    const cost =
      compute?.({ name: textOf(name), def, table, relation, known }) ??
      PLAIN[kind] ??
      brief('ACCESS EXCLUSIVE')
    const { others = [], ...own } = cost
    return [{ table, ...own }, ...others]
  })
}

function addColumn({ def, known, table }: Command): CommandCost {
  const column = fieldsOf(def, 'ColumnDef') ?? {}
  const others = listOf(column['constraints']).flatMap((each) =>
    referenced(known, fieldsOf(each, 'Constraint') ?? {}, table),
  )
  return { mode: 'ACCESS EXCLUSIVE', ...addedColumnWork(known, column), others }
}

function alterType({ name, def, relation }: Command): CommandCost {
  const column = fieldsOf(def, 'ColumnDef')
  const to = typeText(fieldsOf(column, 'typeName'))
  const kept = keepsRows(
    relation?.columns.get(name),
    to,
    fieldsOf(def, 'ColumnDef')?.['raw_default'] as Fields | undefined,
  )
  if (kept === true) return brief('ACCESS EXCLUSIVE')
  return { ...rewrite, note: kept === undefined ? 'unless the type is only widened' : undefined }
}

function setNotNull({ name, relation }: Command): CommandCost {
  const proven = relation?.constraints.some(({ valid, notNull }) => valid && notNull.includes(name)) ?? false
  return { mode: 'ACCESS EXCLUSIVE', work: proven ? 'brief' : 'scan' }
}

function addConstraint({ def, known, table, relation }: Command): CommandCost {
  const constraint = fieldsOf(def, 'Constraint') ?? {}
  const enforceable = /CHECK|FOREIGN/.test(textOf(constraint['contype']))
  const unchecked =
    constraint['skip_validation'] === true || (enforceable && constraint['is_enforced'] !== true)
  switch (constraint['contype']) {
    case 'CONSTR_PRIMARY':
    case 'CONSTR_UNIQUE': {
      if (constraint['indexname'] === undefined) return { mode: 'ACCESS EXCLUSIVE', work: 'index' }
      const nullable = constraint['contype'] === 'CONSTR_PRIMARY'
      return {
        mode: 'ACCESS EXCLUSIVE',
        work: nullable ? 'scan' : 'brief',
        note: nullable ? 'unless its columns are NOT NULL' : undefined,
      }
    }
    case 'CONSTR_EXCLUSION':
      return { mode: 'ACCESS EXCLUSIVE', work: 'index' }
    case 'CONSTR_FOREIGN': {
      const work = unchecked ? 'brief' : 'scan'
      return { mode: 'SHARE ROW EXCLUSIVE', work, others: referenced(known, constraint, table) }
    }
    case 'CONSTR_NOTNULL': {
      const columns = nameParts(constraint['keys'])
      const proven = columns.every((column) =>
        relation?.constraints.some(({ valid, notNull }) => valid && notNull.includes(column)),
      )
      return { mode: 'ACCESS EXCLUSIVE', work: unchecked || proven ? 'brief' : 'scan' }
    }
    default:
      return { mode: 'ACCESS EXCLUSIVE', work: unchecked ? 'brief' : 'scan' }
  }
}

/** The table that a foreign key points to: rows of it may be changed no more while the key is made. */
function referenced(known: KnownSchema, constraint: Fields, table: string): readonly TableLock[] {
  if (constraint['contype'] !== 'CONSTR_FOREIGN') return []
  const other = relationName(known, constraint['pktable'])
  return other === table ? [] : [{ table: other, mode: 'SHARE ROW EXCLUSIVE', work: 'brief' }]
}

function validate({ name, relation, table }: Command): CommandCost {
  const constraint = relation?.constraints.find((each) => each.name === name)
  const work = constraint?.valid === true ? 'brief' : 'scan'
  return {
    mode: 'SHARE UPDATE EXCLUSIVE',
    work,
    others: withReferenced(constraint?.references, table, 'ROW SHARE'),
  }
}

function alterConstraint({ def, relation, table }: Command): CommandCost {
  const { conname, alterEnforceability, is_enforced: enforced } = fieldsOf(def, 'ATAlterConstraint') ?? {}
  if (alterEnforceability !== true) return brief('ACCESS EXCLUSIVE')
  const references = relation?.constraints.find(({ name }) => name === textOf(conname))?.references
  return enforced === true
    ? {
        mode: 'ACCESS EXCLUSIVE',
        work: 'scan',
        others: withReferenced(references, table, 'SHARE ROW EXCLUSIVE'),
      }
    : { ...brief('ACCESS EXCLUSIVE'), others: withReferenced(references, table, 'ACCESS EXCLUSIVE') }
}

/** A foreign key has triggers on the table that it points to, which go with it. */
function dropping(
  { relation, table }: Command,
  goes: (constraint: KnownRelation['constraints'][number]) => boolean,
): CommandCost {
  const gone = relation?.constraints.filter(goes) ?? []
  return {
    ...brief('ACCESS EXCLUSIVE'),
    others: gone.flatMap(({ references }) => withReferenced(references, table, 'ACCESS EXCLUSIVE')),
  }
}

function withReferenced(references: string | undefined, table: string, mode: LockMode): readonly TableLock[] {
  return references === undefined || references === table ? [] : [{ table: references, mode, work: 'brief' }]
}

function attach({ def, known }: Command): CommandCost {
  const { name, bound } = fieldsOf(def, 'PartitionCmd') ?? {}
  const partition = relationName(known, name)
  // ALTER INDEX … ATTACH PARTITION gives no bound.
  if (bound === undefined) return { mode: 'SHARE UPDATE EXCLUSIVE', work: 'brief' }
  const note =
    'unless a CHECK constraint says what the bound does; a default partition is locked and read as well'
  return {
    mode: 'SHARE UPDATE EXCLUSIVE',
    work: 'brief',
    others: [{ table: partition, mode: 'ACCESS EXCLUSIVE', work: 'scan', note }],
  }
}

function detach({ def, known }: Command): CommandCost {
  const { name, concurrent } = fieldsOf(def, 'PartitionCmd') ?? {}
  const table = relationName(known, name)
  return concurrent === true
    ? {
        mode: 'SHARE UPDATE EXCLUSIVE',
        work: 'brief',
        others: [
          { table, mode: 'ACCESS EXCLUSIVE', work: 'brief', note: 'after waiting for all who read it' },
        ],
      }
    : {
        mode: 'ACCESS EXCLUSIVE',
        work: 'brief',
        others: [{ table, mode: 'ACCESS EXCLUSIVE', work: 'brief' }],
      }
}

function relationOptions({ def }: Command): CommandCost {
  const names = listOf(fieldsOf(def, 'List')?.['items']).map((each) =>
    textOf(fieldsOf(each, 'DefElem')?.['defname']),
  )
  return brief(names.some((name) => DISTURBING.has(name)) ? 'ACCESS EXCLUSIVE' : 'SHARE UPDATE EXCLUSIVE')
}
