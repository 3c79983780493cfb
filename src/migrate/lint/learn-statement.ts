/** Takes in what statements do to a schema, one after the other. */
import {
  type Fields,
  fieldsOf,
  listOf,
  nameParts,
  type SqlStatement,
  textOf,
} from '../shared-form/sql-nodes.ts'
import { droppedNames, type KnownRelation, type KnownSchema, ownName, relationName } from './known-schema.ts'
import { typeText } from './type-names.ts'

/** Takes in what a statement does. @param madeBy the number of its migration. */
export function learn(
  known: KnownSchema,
  { node, fields }: Pick<SqlStatement, 'node' | 'fields'>,
  madeBy: number,
): void {
  switch (node) {
    case 'CreateStmt':
      return learnTable(known, fields, madeBy)
    case 'CreateTableAsStmt': {
      const kind = fields['objtype'] === 'OBJECT_MATVIEW' ? 'matview' : 'table'
      return addRelation(known, relationName(known, fieldsOf(fields['into'], 'rel')), kind, madeBy)
    }
    case 'ViewStmt':
      return addRelation(known, relationName(known, fields['view']), 'view', madeBy)
    case 'IndexStmt': {
      const table = relationName(known, fields['relation'])
      known.tableOf.set(inSchemaOf(table, indexName(table, fields)), table)
      return
    }
    case 'CreateStatsStmt': {
      const table = relationName(known, listOf(fields['relations'])[0]?.['RangeVar'])
      return void known.tableOf.set(ownName(known, nameParts(fields['defnames'])), table)
    }
    case 'AlterTableStmt':
      return learnAlter(known, fields)
    case 'RenameStmt':
      return learnRename(known, fields)
    case 'DropStmt':
      return learnDrop(known, fields)
    case 'CreateEnumStmt':
      return void known.types.set(ownName(known, nameParts(fields['typeName'])), {
        kind: 'enum',
        checked: false,
        madeBy,
      })
    case 'CreateDomainStmt': {
      const checked = listOf(fields['constraints']).some(
        (each) => fieldsOf(each, 'Constraint')?.['contype'] === 'CONSTR_CHECK',
      )
      return void known.types.set(ownName(known, nameParts(fields['domainname'])), {
        kind: 'domain',
        checked,
        madeBy,
      })
    }
    case 'AlterDomainStmt': {
      const name = ownName(known, nameParts(fields['typeName']))
      if (fields['subtype'] === 'C') known.types.set(name, { kind: 'domain', checked: true, madeBy })
      return
    }
    case 'CompositeTypeStmt':
      return void known.types.set(relationName(known, fields['typevar']), {
        kind: 'other',
        checked: false,
        madeBy,
      })
    case 'CreateSeqStmt':
      return void known.sequences.add(relationName(known, fields['sequence']))
    case 'CreateFunctionStmt': {
      const volatility = listOf(fields['options'])
        .map((option) => fieldsOf(option, 'DefElem'))
        .find((option) => option?.['defname'] === 'volatility')
      const volatile = !/immutable|stable/.test(JSON.stringify(volatility ?? ''))
      return void known.functions.set(ownName(known, nameParts(fields['funcname'])), { volatile })
    }
    default:
  }
}

function addRelation(known: KnownSchema, name: string, kind: KnownRelation['kind'], madeBy: number): void {
  // CREATE TABLE IF NOT EXISTS: what was there is what counts.
  if (known.relations.has(name)) return
  known.relations.set(name, { kind, madeBy, columns: new Map(), constraints: [] })
}

function learnTable(known: KnownSchema, fields: Fields, madeBy: number): void {
  const name = relationName(known, fields['relation'])
  if (known.relations.has(name)) return
  addRelation(known, name, 'table', madeBy)
  for (const element of listOf(fields['tableElts'])) {
    const column = fieldsOf(element, 'ColumnDef')
    if (column !== undefined) learnColumn(known, name, column)
    const constraint = fieldsOf(element, 'Constraint')
    if (constraint !== undefined) addConstraint(known, name, constraint, [])
  }
}

function learnColumn(known: KnownSchema, table: string, column: Fields): void {
  const name = textOf(column['colname'])
  known.relations.get(table)?.columns.set(name, typeText(fieldsOf(column, 'typeName')))
  for (const constraint of listOf(column['constraints'])) {
    addConstraint(known, table, fieldsOf(constraint, 'Constraint') ?? {}, [name])
  }
}

const KEPT = /^CONSTR_(CHECK|FOREIGN|PRIMARY|UNIQUE|EXCLUSION|NOTNULL)$/
const SUFFIXES: Readonly<Record<string, string>> = {
  CONSTR_PRIMARY: 'pkey',
  CONSTR_UNIQUE: 'key',
  CONSTR_FOREIGN: 'fkey',
  CONSTR_EXCLUSION: 'excl',
  CONSTR_NOTNULL: 'not_null',
}

function addConstraint(
  known: KnownSchema,
  table: string,
  constraint: Fields,
  ofColumn: readonly string[],
): void {
  const kind = textOf(constraint['contype'])
  const relation = known.relations.get(table)
  if (relation === undefined || !KEPT.test(kind)) return
  const named = nameParts(constraint['fk_attrs'] ?? constraint['keys'])
  const columns = named.length > 0 ? named : ofColumn
  const notNull =
    kind === 'CONSTR_CHECK'
      ? provenNotNull(constraint['raw_expr'])
      : /PRIMARY|NOTNULL/.test(kind)
        ? columns
        : []
  const given = textOf(constraint['conname'])
  const suffix = SUFFIXES[kind] ?? 'check'
  const base = table.split('.').at(-1) ?? ''
  const name = given !== '' ? given : [base, ...(kind === 'CONSTR_PRIMARY' ? [] : columns), suffix].join('_')
  const references = kind === 'CONSTR_FOREIGN' ? relationName(known, constraint['pktable']) : undefined
  const valid = constraint['skip_validation'] !== true
  relation.constraints = [...relation.constraints, { name, kind, columns, references, notNull, valid }]
  if (/PRIMARY|UNIQUE|EXCLUSION/.test(kind)) known.tableOf.set(inSchemaOf(table, name), table)
}

/** Columns that `a is not null and b is not null` names. */
function provenNotNull(expression: unknown): readonly string[] {
  const both = fieldsOf(expression, 'BoolExpr')
  if (both?.['boolop'] === 'AND_EXPR') return listOf(both['args']).flatMap(provenNotNull)
  const test = fieldsOf(expression, 'NullTest')
  if (test?.['nulltesttype'] !== 'IS_NOT_NULL') return []
  return nameParts(fieldsOf(test['arg'], 'ColumnRef')?.['fields']).slice(-1)
}

function learnAlter(known: KnownSchema, fields: Fields): void {
  const name = relationName(known, fields['relation'])
  const relation = known.relations.get(name)
  if (relation === undefined) return
  for (const command of listOf(fields['cmds'])) {
    const { subtype, def, name: named } = fieldsOf(command, 'AlterTableCmd') ?? {}
    const target = textOf(named)
    const column = fieldsOf(def, 'ColumnDef')
    switch (subtype) {
      case 'AT_AddColumn':
        if (column !== undefined) learnColumn(known, name, column)
        break
      case 'AT_DropColumn':
        relation.columns.delete(target)
        relation.constraints = relation.constraints.filter(({ columns }) => !columns.includes(target))
        break
      case 'AT_AlterColumnType':
        relation.columns.set(target, typeText(fieldsOf(column, 'typeName')))
        break
      case 'AT_AddConstraint':
        addConstraint(known, name, fieldsOf(def, 'Constraint') ?? {}, [])
        break
      case 'AT_DropConstraint':
        relation.constraints = relation.constraints.filter((constraint) => constraint.name !== target)
        break
      case 'AT_ValidateConstraint':
        relation.constraints = relation.constraints.map((each) =>
          each.name === target ? { ...each, valid: true } : each,
        )
        break
      case 'AT_SetNotNull':
        addConstraint(known, name, { contype: 'CONSTR_NOTNULL' }, [target])
        break
      case 'AT_DropNotNull':
        relation.constraints = relation.constraints.filter(
          ({ kind, columns }) => kind !== 'CONSTR_NOTNULL' || !columns.includes(target),
        )
        break
      default:
    }
  }
}

function learnRename(known: KnownSchema, fields: Fields): void {
  const before = relationName(known, fields['relation'])
  const [to, from] = [textOf(fields['newname']), textOf(fields['subname'])]
  const relation = known.relations.get(before)
  switch (fields['renameType']) {
    case 'OBJECT_TABLE':
    case 'OBJECT_VIEW':
    case 'OBJECT_MATVIEW':
      if (relation === undefined) return
      known.relations.delete(before)
      known.relations.set(inSchemaOf(before, to), relation)
      for (const [index, table] of known.tableOf)
        if (table === before) known.tableOf.set(index, inSchemaOf(before, to))
      return
    case 'OBJECT_INDEX': {
      const table = known.tableOf.get(before)
      known.tableOf.delete(before)
      if (table !== undefined) known.tableOf.set(inSchemaOf(before, to), table)
      return
    }
    case 'OBJECT_COLUMN': {
      const type = relation?.columns.get(from)
      relation?.columns.delete(from)
      if (type !== undefined) relation?.columns.set(to, type)
      return
    }
    case 'OBJECT_TABCONSTRAINT':
      if (relation !== undefined)
        relation.constraints = relation.constraints.map((each) =>
          each.name === from ? { ...each, name: to } : each,
        )
      return
    default:
  }
}

function learnDrop(known: KnownSchema, fields: Fields): void {
  for (const name of droppedNames(known, fields)) {
    known.relations.delete(name)
    known.tableOf.delete(name)
    known.types.delete(name)
  }
}

function indexName(table: string, fields: Fields): string {
  const given = textOf(fields['idxname'])
  if (given !== '') return given
  const columns = listOf(fields['indexParams']).map(
    (each) => textOf(fieldsOf(each, 'IndexElem')?.['name']) || 'expr',
  )
  return [table.split('.').at(-1), ...columns, 'idx'].join('_')
}

/** The same schema as another name's, written or not. */
function inSchemaOf(other: string, name: string): string {
  const schema = other.split('.').slice(0, -1)
  return [...schema, name].join('.')
}
