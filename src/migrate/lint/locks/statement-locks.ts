/** Which locks a statement takes on which tables, and what it does to them meanwhile. */
import {
  type Fields,
  fieldsOf,
  findNodes,
  listOf,
  nameParts,
  type SqlStatement,
  textOf,
} from '../../shared-form/sql-nodes.ts'
import { createKnownSchema, droppedNames, type KnownSchema, ownName, relationName } from '../known-schema.ts'
import { alterTableLocks } from './alter-table-locks.ts'
import { constraintsOf, lockOf, readLocks, rowLocks } from './row-locks.ts'
import { LOCK_MODES, mergeLocks, type TableLock } from './lock-mode.ts'

/**
 * The locks of one statement, one entry a table; compared with a running PostgreSQL 15 to 18 by test/migrate/lint/locks.test.ts.
 * Indexes and partitions that it does not name are left out: they have the lock of their table.
 * @param known what migrations before it made: the type a column had, the table that a foreign key pointed to.
 * @example
 * locksOf(splitStatements('alter table orders add check (total > 0)')[0])
 * // [{ table: 'orders', mode: 'ACCESS EXCLUSIVE', work: 'scan' }]
 */
export function locksOf(
  { node, fields }: Pick<SqlStatement, 'node' | 'fields'>,
  known: KnownSchema = createKnownSchema(),
): readonly TableLock[] {
  const compute = STATEMENTS[node]
  const locks = compute?.(known, fields) ?? []
  return mergeLocks(locks.filter(({ table }) => table !== ''))
}

type Compute = (known: KnownSchema, fields: Fields) => readonly TableLock[]

const STATEMENTS: Readonly<Record<string, Compute>> = {
  AlterTableStmt: alterTable,
  CreateStmt: createTable,
  CreateTableAsStmt: (known, fields) => readLocks(known, fields['query']),
  ViewStmt: (known, fields) => [
    ...readLocks(known, fields['query']),
    ...(fields['replace'] === true ? onExisting(known, relationName(known, fields['view'])) : []),
  ],
  IndexStmt: (known, { relation, concurrent }) => [
    {
      table: relationName(known, relation),
      mode: concurrent === true ? 'SHARE UPDATE EXCLUSIVE' : 'SHARE',
      work: 'index',
    },
  ],
  DropStmt: drop,
  RenameStmt: rename,
  ReindexStmt: reindex,
  CreateTrigStmt: createTrigger,
  CreatePolicyStmt: (known, { table }) => lockOf(known, table, 'ACCESS EXCLUSIVE'),
  AlterPolicyStmt: (known, { table }) => lockOf(known, table, 'ACCESS EXCLUSIVE'),
  RuleStmt: (known, { relation }) => lockOf(known, relation, 'ACCESS EXCLUSIVE'),
  AlterObjectSchemaStmt: (known, { relation }) => lockOf(known, relation, 'ACCESS EXCLUSIVE'),
  CreateStatsStmt: (known, { relations }) =>
    listOf(relations).flatMap((each) => lockOf(known, each['RangeVar'], 'SHARE UPDATE EXCLUSIVE')),
  CommentStmt: comment,
  ClusterStmt: (known, { relation }) => lockOf(known, relation, 'ACCESS EXCLUSIVE', 'rewrite'),
  VacuumStmt: vacuum,
  RefreshMatViewStmt: (known, { relation, concurrent, skipData }) =>
    lockOf(
      known,
      relation,
      concurrent === true ? 'EXCLUSIVE' : 'ACCESS EXCLUSIVE',
      skipData === true ? 'brief' : concurrent === true ? 'rows' : 'rewrite',
    ),
  TruncateStmt: truncate,
  LockStmt: (known, { relations, mode }) =>
    listOf(relations).flatMap((each) =>
      lockOf(known, each['RangeVar'], LOCK_MODES[Number(mode) - 1] ?? 'ACCESS EXCLUSIVE'),
    ),
  AlterDomainStmt: alterDomain,
  CopyStmt: (known, { relation, is_from: from, query }) =>
    relation === undefined
      ? readLocks(known, query)
      : lockOf(
          known,
          relation,
          from === true ? 'ROW EXCLUSIVE' : 'ACCESS SHARE',
          from === true ? 'rows' : 'brief',
        ),
  InsertStmt: (known, fields) => rowLocks(known, 'InsertStmt', fields),
  UpdateStmt: (known, fields) => rowLocks(known, 'UpdateStmt', fields),
  DeleteStmt: (known, fields) => rowLocks(known, 'DeleteStmt', fields),
  MergeStmt: (known, fields) => rowLocks(known, 'MergeStmt', fields),
  SelectStmt: (known, fields) => rowLocks(known, 'SelectStmt', fields),
}

function onExisting(known: KnownSchema, table: string): readonly TableLock[] {
  return known.relations.has(table) ? [{ table, mode: 'ACCESS EXCLUSIVE', work: 'brief' }] : []
}

function alterTable(known: KnownSchema, fields: Fields): readonly TableLock[] {
  const named = relationName(known, fields['relation'])
  const commands = listOf(fields['cmds'])
  switch (fields['objtype']) {
    case 'OBJECT_INDEX': {
      // An index is changed under a lock of its own; only its options matter to those who use the table.
      return []
    }
    case 'OBJECT_SEQUENCE':
    case 'OBJECT_TYPE':
      return []
    default:
      return alterTableLocks(known, named, commands)
  }
}

/** A new table is nobody else's yet; what it points to, inherits or is a part of is. */
function createTable(known: KnownSchema, fields: Fields): readonly TableLock[] {
  const own = relationName(known, fields['relation'])
  const partition = fields['partbound'] !== undefined
  const parents = listOf(fields['inhRelations']).flatMap((each) =>
    lockOf(known, each['RangeVar'], partition ? 'ACCESS EXCLUSIVE' : 'SHARE UPDATE EXCLUSIVE'),
  )
  const likes = findNodes(fields['tableElts'], 'TableLikeClause').flatMap(({ relation }) =>
    lockOf(known, relation, 'ACCESS SHARE'),
  )
  const references = findNodes(fields['tableElts'], 'Constraint')
    .filter(({ contype }) => contype === 'CONSTR_FOREIGN')
    .flatMap(({ pktable }) => lockOf(known, pktable, 'SHARE ROW EXCLUSIVE'))
  return [...parents, ...likes, ...references].filter(({ table }) => table !== own)
}

function drop(known: KnownSchema, fields: Fields): readonly TableLock[] {
  const cascade = fields['behavior'] === 'DROP_CASCADE'
  const names = droppedNames(known, fields)
  switch (fields['removeType']) {
    case 'OBJECT_TABLE':
    case 'OBJECT_FOREIGN_TABLE':
      return names.flatMap((table) => [
        exclusively(table),
        ...constraintsOf(known, table).flatMap(({ references }) =>
          references === undefined || references === table ? [] : [exclusively(references)],
        ),
        ...(cascade ? referencing(known, table).map(exclusively) : []),
      ])
    case 'OBJECT_VIEW':
    case 'OBJECT_MATVIEW':
      return names.map(exclusively)
    case 'OBJECT_INDEX': {
      const mode = fields['concurrent'] === true ? 'SHARE UPDATE EXCLUSIVE' : 'ACCESS EXCLUSIVE'
      return names.map((name) => ({ table: tableOfIndex(known, name), mode, work: 'brief' }))
    }
    case 'OBJECT_STATISTIC_EXT':
      return names.map((name) => ({
        table: known.tableOf.get(name) ?? '',
        mode: 'SHARE UPDATE EXCLUSIVE',
        work: 'brief',
      }))
    case 'OBJECT_TRIGGER':
    case 'OBJECT_POLICY':
    case 'OBJECT_RULE':
      return names.map((name) => exclusively(name.split('.').slice(0, -1).join('.')))
    default:
      return []
  }
}

function exclusively(table: string): TableLock {
  return { table, mode: 'ACCESS EXCLUSIVE', work: 'brief' }
}

/** Tables with a foreign key to this one. */
function referencing(known: KnownSchema, table: string): readonly string[] {
  return [...known.relations]
    .filter(
      ([name, { constraints }]) =>
        name !== table && constraints.some(({ references }) => references === table),
    )
    .map(([name]) => name)
}

/** The words for an index of a table that is not known. */
function tableOfIndex(known: KnownSchema, index: string): string {
  return index === '' ? '' : (known.tableOf.get(index) ?? `table of ${index}`)
}

function rename(known: KnownSchema, fields: Fields): readonly TableLock[] {
  const kind = fields['renameType']
  if (kind === 'OBJECT_INDEX') return []
  if (kind === 'OBJECT_TRIGGER' || kind === 'OBJECT_POLICY' || kind === 'OBJECT_RULE') {
    return lockOf(known, fields['relation'], 'ACCESS EXCLUSIVE')
  }
  return fields['relation'] === undefined ? [] : lockOf(known, fields['relation'], 'ACCESS EXCLUSIVE')
}

function reindex(known: KnownSchema, fields: Fields): readonly TableLock[] {
  const concurrently = listOf(fields['params']).some(
    (each) => fieldsOf(each, 'DefElem')?.['defname'] === 'concurrently',
  )
  const named = relationName(known, fields['relation'])
  const table = fields['kind'] === 'REINDEX_OBJECT_INDEX' ? tableOfIndex(known, named) : named
  if (table === '') return []
  return concurrently
    ? [{ table, mode: 'SHARE UPDATE EXCLUSIVE', work: 'index' }]
    : [
        {
          table,
          mode: 'SHARE',
          work: 'index',
          note: 'and reads wait too, since its indexes are locked whole',
        },
      ]
}

function createTrigger(known: KnownSchema, { relation, constrrel }: Fields): readonly TableLock[] {
  return [
    ...lockOf(known, relation, 'SHARE ROW EXCLUSIVE'),
    ...(constrrel === undefined ? [] : lockOf(known, constrrel, 'ACCESS SHARE')),
  ]
}

function comment(known: KnownSchema, fields: Fields): readonly TableLock[] {
  const parts = nameParts(fieldsOf(fields['object'], 'List')?.['items'])
  const kind = textOf(fields['objtype'])
  const onTable = /^OBJECT_(TABLE|VIEW|MATVIEW)$/.test(kind)
  if (!onTable && kind !== 'OBJECT_COLUMN') return []
  return [
    {
      table: ownName(known, onTable ? parts : parts.slice(0, -1)),
      mode: 'SHARE UPDATE EXCLUSIVE',
      work: 'brief',
    },
  ]
}

function vacuum(known: KnownSchema, fields: Fields): readonly TableLock[] {
  const full =
    fields['is_vacuumcmd'] === true &&
    listOf(fields['options']).some((each) => fieldsOf(each, 'DefElem')?.['defname'] === 'full')
  return findNodes(fields['rels'], 'VacuumRelation').flatMap(({ relation }) =>
    full
      ? lockOf(known, relation, 'ACCESS EXCLUSIVE', 'rewrite')
      : lockOf(known, relation, 'SHARE UPDATE EXCLUSIVE', 'scan'),
  )
}

function truncate(known: KnownSchema, fields: Fields): readonly TableLock[] {
  const names = listOf(fields['relations']).map((each) => relationName(known, each['RangeVar']))
  const open = [...names]
  if (fields['behavior'] === 'DROP_CASCADE') {
    for (const table of open) {
      for (const other of referencing(known, table)) if (!open.includes(other)) open.push(other)
    }
  }
  return open.map(exclusively)
}

/** Every table with a column of the domain is read, and may not be written meanwhile. */
function alterDomain(known: KnownSchema, fields: Fields): readonly TableLock[] {
  const constraint = fieldsOf(fields['def'], 'Constraint')
  const reads = /^[COV]$/.test(textOf(fields['subtype'])) && constraint?.['skip_validation'] !== true
  if (!reads) return []
  const domain = ownName(known, nameParts(fields['typeName']))
  return [...known.relations]
    .filter(([, { columns }]) => [...columns.values()].includes(domain))
    .map(([table]) => ({ table, mode: 'SHARE', work: 'scan' }))
}
