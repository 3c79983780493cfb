/** Brings a table that is there to what it is to be, column by column. */
import { quoteLiteral } from '../../sql/quote.ts'
import type { ColumnFacts, ObjectOf, TableFacts } from '../description.ts'
import { optionList } from '../render/common-clauses.ts'
import { identityClause, sequenceOptions } from '../render/render-sequence.ts'
import type { Repair } from './difference.ts'
import { same } from './find-differences.ts'

type Table = ObjectOf<'table'>

/** How each column of the table becomes what it is to be. */
export interface ColumnPlan {
  /** Stays where it is, and is altered. */
  readonly kept: readonly (readonly [is: ColumnFacts, wants: ColumnFacts])[]
  /** Is made behind the others, in this order; with the rows of the one that is there, if that holds any of its own. */
  readonly added: readonly (readonly [is: ColumnFacts | undefined, wants: ColumnFacts])[]
  readonly dropped: readonly ColumnFacts[]
}

/** Whether a table of one kind can become the other at all. */
export function isAlterable(is: TableFacts, wants: TableFacts): boolean {
  const kind = ({ method, partitionBy, bound, parents, ofType }: TableFacts): unknown => [
    method,
    partitionBy,
    bound,
    parents,
    ofType,
  ]
  const inherited = ({ columns }: TableFacts): unknown =>
    columns.filter((column) => column.inherited === true).map(({ name, local }) => [name, local])
  return same(kind(is), kind(wants)) && same(inherited(is), inherited(wants))
}

/** Columns can be appended only, so that all behind the first that is out of place are made again. */
export function planColumns(
  is: TableFacts,
  wants: TableFacts,
  rebuilt: (name: string) => boolean,
): ColumnPlan {
  const mine = new Map(is.columns.map((column) => [column.name, column]))
  const kept: (readonly [ColumnFacts, ColumnFacts])[] = []
  let last = -1
  for (const column of wants.columns) {
    const there = mine.get(column.name)
    const at = there === undefined ? -1 : is.columns.indexOf(there)
    if (there === undefined || at <= last || rebuilt(column.name) || !canAlter(there, column)) break
    kept.push([there, column])
    last = at
  }
  const added = wants.columns.slice(kept.length).map((column) => [mine.get(column.name), column] as const)
  const names = new Set(wants.columns.map(({ name }) => name))
  return { kept, added, dropped: is.columns.filter(({ name }) => !names.has(name)) }
}

/** What a column generates is written into it when it is made. */
function canAlter(is: ColumnFacts, wants: ColumnFacts): boolean {
  return same(is.generated, wants.generated) && (is.generated === undefined || is.type === wants.type)
}

/** Columns whose values or types change, so that whatever stands on them goes before and comes back behind. */
export function touchedColumns({ kept, added, dropped }: ColumnPlan): string[] {
  return [
    ...kept.flatMap(([is, wants]) =>
      is.type === wants.type && is.collation === wants.collation ? [] : [is.name],
    ),
    ...added.flatMap(([is]) => (is === undefined ? [] : [is.name])),
    ...dropped.map(({ name }) => name),
  ]
}

/**
 * @param viaText whether values of the column pass through text, since its type is made anew.
 */
export function alterTable(
  is: Table,
  wants: Table,
  plan: ColumnPlan,
  viaText: (column: string) => boolean,
): Repair[] {
  const { name } = wants
  const alter = (change: string, loses?: string): Repair => ({
    sql: `alter table ${name} ${change}`,
    ...(loses === undefined ? {} : { loses }),
  })
  const aside = (column: ColumnFacts): string => asideName(column.name)
  return [
    ...(is.facts.persistence === wants.facts.persistence
      ? []
      : [alter(`set ${wants.facts.persistence === 'u' ? 'unlogged' : 'logged'}`)]),
    ...plan.dropped
      .filter(({ inherited }) => inherited !== true)
      .map((column) => alter(`drop column ${column.name}`, `the values of ${name}.${column.name}`)),
    // First out of the way, all of them: one may be generated from another.
    ...plan.added.flatMap(([old]) =>
      old === undefined
        ? []
        : old.generated === undefined
          ? [alter(`rename ${old.name} to ${aside(old)}`)]
          : [alter(`drop column ${old.name}`)],
    ),
    ...plan.kept.flatMap(([old, column]) => alterType(alter, old, column, viaText(column.name))),
    ...plan.added.map(([, column]) => alter(`add column ${bareColumn(column)}`)),
    ...plan.added.flatMap(([old, column]) => {
      if (old === undefined || old.generated !== undefined) return []
      const value = `${aside(old)}${castTo(old, column, viaText(column.name))}`
      const copy =
        column.generated === undefined ? [{ sql: `update ${name} set ${column.name} = ${value}` }] : []
      return [...copy, alter(`drop column ${aside(old)}`)]
    }),
    ...plan.kept.flatMap(([old, column]) => alterColumn(name, old, column)),
    ...plan.added.flatMap(([, column]) =>
      alterColumn(name, { name: column.name, type: column.type, ...pick(column) }, column),
    ),
    ...tableOptions(is.facts, wants.facts).map((change) => alter(change)),
  ]
}

/** What `bareColumn` has said already. */
function pick({ generated, compression }: ColumnFacts): Partial<ColumnFacts> {
  return {
    ...(generated === undefined ? {} : { generated }),
    ...(compression === undefined ? {} : { compression }),
  }
}

function asideName(column: string): string {
  return column.startsWith('"') ? `${column.slice(0, -1)} (former)"` : `"${column} (former)"`
}

function bareColumn({ name, type, collation, generated, compression }: ColumnFacts): string {
  return [
    `${name} ${type}`,
    compression === undefined ? '' : ` compression ${compression === 'l' ? 'lz4' : 'pglz'}`,
    collation === undefined ? '' : ` collate ${collation}`,
    generated === undefined
      ? ''
      : ` generated always as (${generated.as}) ${generated.how === 's' ? 'stored' : 'virtual'}`,
  ].join('')
}

function castTo(is: ColumnFacts, wants: ColumnFacts, viaText: boolean): string {
  return viaText ? `::text::${wants.type}` : is.type === wants.type ? '' : `::${wants.type}`
}

function alterType(
  alter: (change: string) => Repair,
  is: ColumnFacts,
  wants: ColumnFacts,
  viaText: boolean,
): Repair[] {
  if (wants.inherited === true || (is.type === wants.type && is.collation === wants.collation && !viaText))
    return []
  const drop = is.default === undefined ? [] : [alter(`alter ${is.name} drop default`)]
  const collate = wants.collation === undefined ? '' : ` collate ${wants.collation}`
  return [
    ...drop,
    alter(`alter ${is.name} type ${wants.type}${collate} using ${is.name}${castTo(is, wants, viaText)}`),
  ]
}

/** Everything but type, place and default. */
function alterColumn(table: string, is: ColumnFacts, wants: ColumnFacts): Repair[] {
  const { name } = wants
  const change = (words: string): Repair => ({ sql: `alter table ${table} alter ${name} ${words}` })
  const repairs: Repair[] = []
  if (!same(is.identity, wants.identity)) repairs.push(...alterIdentity(table, is, wants))
  if (
    !same(withoutComment(is), withoutComment(wants)) &&
    !(wants.notNull?.inherited === true && wants.notNull.local !== true)
  ) {
    if (is.notNull !== undefined && is.identity === undefined) repairs.push(change('drop not null'))
    if (wants.notNull?.definition !== undefined) {
      repairs.push({
        sql: `alter table ${table} add constraint ${wants.notNull.name ?? ''} ${wants.notNull.definition}`,
      })
    } else if (wants.notNull !== undefined) repairs.push(change('set not null'))
  }
  if (is.storage !== wants.storage && wants.storage !== undefined) {
    repairs.push(change(`set storage ${STORAGE[wants.storage] ?? 'default'}`))
  }
  if (is.storage !== undefined && wants.storage === undefined) repairs.push(change('set storage default'))
  if (is.compression !== wants.compression) {
    const method = wants.compression === 'l' ? 'lz4' : wants.compression === 'p' ? 'pglz' : 'default'
    repairs.push(change(`set compression ${method}`))
  }
  if (is.statistics !== wants.statistics) repairs.push(change(`set statistics ${wants.statistics ?? -1}`))
  if (!same(is.options, wants.options)) repairs.push(...alterOptions(is.options, wants.options).map(change))
  if (is.comment !== wants.comment) {
    const text = wants.comment === undefined ? 'null' : quoteLiteral(wants.comment)
    repairs.push({ sql: `comment on column ${table}.${name} is ${text}` })
  }
  return repairs
}

const STORAGE: Readonly<Record<string, string>> = { p: 'plain', e: 'external', m: 'main', x: 'extended' }

function withoutComment({ notNull }: ColumnFacts): unknown {
  return notNull === undefined ? undefined : [notNull.name, notNull.definition]
}

function alterIdentity(table: string, is: ColumnFacts, wants: ColumnFacts): Repair[] {
  const [old, wanted] = [is.identity, wants.identity]
  const { name } = wants
  const alter = (words: string): Repair => ({ sql: `alter table ${table} alter ${name} ${words}` })
  const add = (): Repair[] => {
    const clause = identityClause(table, wants)
    // Nothing can be an identity that may be null.
    return clause === ''
      ? []
      : [
          ...(wants.notNull === undefined || is.notNull !== undefined ? [] : setNotNull(table, wants)),
          alter(`add${clause}`),
        ]
  }
  if (old === undefined) return add()
  if (wanted === undefined) return [alter('drop identity')]
  if (old.sequence !== wanted.sequence) return [alter('drop identity'), ...add()]
  const how = wanted.how === 'a' ? 'always' : 'by default'
  const { options } = wanted
  const set =
    options === undefined
      ? ''
      : sequenceOptions(options).replaceAll(
          /(start|increment|minvalue|maxvalue|cache|no cycle|cycle)/g,
          'set $1',
        )
  return [alter(`set generated ${how} ${set}`)]
}

function setNotNull(table: string, { name, notNull }: ColumnFacts): Repair[] {
  return notNull?.definition === undefined
    ? [{ sql: `alter table ${table} alter ${name} set not null` }]
    : [{ sql: `alter table ${table} add constraint ${notNull.name ?? ''} ${notNull.definition}` }]
}

/** `set (…)` and `reset (…)`, as little as it takes. */
export function alterOptions(
  is: readonly string[] = [],
  wants: readonly string[] = [],
  prefix = '',
): string[] {
  const key = (option: string): string => option.slice(0, option.indexOf('='))
  const kept = new Set(wants.map(key))
  const gone = is.map(key).filter((name) => !kept.has(name))
  const set = wants.filter((option) => !is.includes(option))
  return [
    ...(gone.length === 0 ? [] : [`reset (${gone.map((name) => `${prefix}${name}`).join(', ')})`]),
    ...(set.length === 0 ? [] : [`set (${optionList(set, prefix)})`]),
  ]
}

function tableOptions(is: TableFacts, wants: TableFacts): string[] {
  const on = (flag: boolean | undefined): string => (flag === true ? '' : 'no ')
  return [
    ...alterOptions(is.options, wants.options),
    ...alterOptions(is.toastOptions, wants.toastOptions, 'toast.'),
    ...(is.replicaIdentity === wants.replicaIdentity || wants.replicaIdentity === 'i'
      ? []
      : [
          `replica identity ${wants.replicaIdentity === 'f' ? 'full' : wants.replicaIdentity === 'n' ? 'nothing' : 'default'}`,
        ]),
    ...(is.rowSecurity === wants.rowSecurity
      ? []
      : [`${wants.rowSecurity === true ? 'enable' : 'disable'} row level security`]),
    ...(is.forced === wants.forced ? [] : [`${on(wants.forced)}force row level security`]),
  ]
}
