/** The statements that make one object of any kind but a table. */
import { quoteLiteral } from '../../sql/quote.ts'
import type { IndexTraits, ObjectOf, SchemaObject } from '../description.ts'
import { optionList, withOptions } from './common-clauses.ts'
import { renderSequence } from './render-sequence.ts'

const COMMANDS = { '*': 'all', r: 'select', a: 'insert', w: 'update', d: 'delete' } as const
const ENABLED = { D: 'disable', R: 'enable replica', A: 'enable always' } as const

/** How a trigger or rule is brought to fire as it does. */
export function enableStatement({ kind, facts }: ObjectOf<'trigger' | 'rule'>): string {
  const how = facts.enabled === undefined ? 'enable' : ENABLED[facts.enabled]
  return `alter table ${facts.table} ${how} ${kind} ${facts.trigger}`
}

/** @returns none for what comes with another object. */
export function renderObject(object: Exclude<SchemaObject, ObjectOf<'table'>>): string[] {
  const { name } = object
  switch (object.kind) {
    case 'type':
      return [renderType(object)]
    case 'sequence':
      return [renderSequence(object)]
    case 'operator':
      return [object.facts.definition]
    case 'routine':
      return [object.facts.definition.trimEnd()]
    case 'constraint': {
      const { table, constraint, definition } = object.facts
      const only = definition.startsWith('FOREIGN KEY') ? '' : 'only '
      return [
        `alter table ${only}${table} add constraint ${constraint} ${definition}`,
        ...constraintIndex(object),
      ]
    }
    case 'index':
      return renderIndex(object)
    case 'view': {
      const defaults = object.facts.columns.flatMap((column) =>
        column.default === undefined ? [] : [`alter ${column.name} set default ${column.default}`],
      )
      return [
        `create view ${name}${withOptions(object.facts.options)} as ${bare(object.facts.query)}`,
        ...(defaults.length === 0 ? [] : [`alter table ${name} ${defaults.join(', ')}`]),
      ]
    }
    case 'materialized view': {
      const data = object.facts.unpopulated === true ? 'with no data' : 'with data'
      return [
        `create materialized view ${name}${withOptions(object.facts.options)} as ${bare(object.facts.query)} ${data}`,
      ]
    }
    case 'trigger':
    case 'rule':
      return [
        bare(object.facts.definition),
        ...(object.facts.enabled === undefined ? [] : [enableStatement(object)]),
      ]
    case 'policy':
      return [renderPolicy(object)]
    case 'statistics': {
      const { definition, target } = object.facts
      return [
        definition,
        ...(target === undefined ? [] : [`alter statistics ${name} set statistics ${target}`]),
      ]
    }
    case 'unsupported':
      return []
  }
}

function bare(text: string): string {
  return text.replace(/;\s*$/, '')
}

/** What a constraint's definition does not say of its index. */
export function constraintIndex({ facts }: ObjectOf<'constraint'>): string[] {
  const { constraint, table, options } = facts
  return [
    ...(options === undefined ? [] : [`alter index ${constraint} set (${optionList(options)})`]),
    ...indexMarks(table, constraint, facts),
  ]
}

function renderIndex({ name, facts }: ObjectOf<'index'>): string[] {
  const { table, definition, parent, statistics = {} } = facts
  return [
    definition,
    ...(parent === undefined ? [] : [`alter index ${parent} attach partition ${name}`]),
    ...indexMarks(table, name, facts),
    ...Object.entries(statistics).map(
      ([column, target]) => `alter index ${name} alter column ${column} set statistics ${target}`,
    ),
  ]
}

function indexMarks(table: string, name: string, { clustered, replicaIdentity }: IndexTraits): string[] {
  return [
    ...(clustered === true ? [`alter table ${table} cluster on ${name}`] : []),
    ...(replicaIdentity === true ? [`alter table ${table} replica identity using index ${name}`] : []),
  ]
}

function renderPolicy({ facts }: ObjectOf<'policy'>): string {
  const { table, policy, command, restrictive, roles, using, check } = facts
  return [
    `create policy ${policy} on ${table}`,
    restrictive === true ? ' as restrictive' : '',
    ` for ${COMMANDS[command]} to ${roles.join(', ')}`,
    using === undefined ? '' : ` using (${using})`,
    check === undefined ? '' : ` with check (${check})`,
  ].join('')
}

function renderType({ name, facts }: ObjectOf<'type'>): string {
  const { how, labels = [], attributes = [], range = {}, constraints = [] } = facts
  const collate = facts.collation === undefined ? '' : ` collate ${facts.collation}`
  switch (how) {
    case 'enum':
      return `create type ${name} as enum (${labels.map(quoteLiteral).join(', ')})`
    case 'composite': {
      const list = attributes.map(
        (each) =>
          `${each.name} ${each.type}${each.collation === undefined ? '' : ` collate ${each.collation}`}`,
      )
      return `create type ${name} as (${list.join(', ')})`
    }
    case 'range': {
      const list = Object.entries(range).map(([option, value]) => `${option} = ${value}`)
      return `create type ${name} as range (${list.join(', ')})`
    }
    case 'domain': {
      const checks = constraints.map((each) => ` constraint ${each.name} ${each.definition}`)
      const value = facts.default === undefined ? '' : ` default ${facts.default}`
      const notNull = facts.notNull === true ? ' not null' : ''
      return `create domain ${name} as ${facts.base ?? ''}${collate}${value}${notNull}${checks.join('')}`
    }
  }
}
