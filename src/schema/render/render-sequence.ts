/** Sequences, and the columns that are written shorter for them: `serial` and `generated … as identity`. */
import type { ColumnFacts, ObjectOf, SequenceOptions } from '../description.ts'

const LARGEST: Readonly<Record<string, bigint>> = {
  smallint: 32767n,
  integer: 2147483647n,
  bigint: 9223372036854775807n,
}
const SERIAL: Readonly<Record<string, string>> = {
  smallint: 'smallserial',
  integer: 'serial',
  bigint: 'bigserial',
}
/** Names whose join needs no quotes either, and is not cut. */
const PLAIN = /^[a-z_][a-z0-9_]{0,20}$/

/** All options of a sequence, but for its type. */
export function sequenceOptions(options: SequenceOptions): string {
  const { start, increment, min, max, cache, cycle } = options
  return `start ${start} increment ${increment} minvalue ${min} maxvalue ${max} cache ${cache}${cycle === true ? ' cycle' : ' no cycle'}`
}

/** Whether nothing was said of it but its type. */
function isUsual({ type, start, increment, min, max, cache, cycle }: SequenceOptions): boolean {
  const usual = start === '1' && increment === '1' && min === '1' && cache === '1' && cycle === undefined
  return usual && max === String(LARGEST[type])
}

export function renderSequence({ name, facts }: ObjectOf<'sequence'>): string {
  const unlogged = facts.persistence === 'u' ? 'unlogged ' : ''
  return `create ${unlogged}sequence ${name} as ${facts.type} ${sequenceOptions(facts)}`
}

/** ` generated always as identity (…)`, or nothing; a partition's is its parent's. */
export function identityClause(table: string, { name, identity }: ColumnFacts): string {
  if (identity?.sequence === undefined || identity.options === undefined) return ''
  const how = identity.how === 'a' ? 'always' : 'by default'
  const plain = isUsual(identity.options) && isNamedAfter(identity.sequence, table, name)
  const options = plain ? '' : ` (sequence name ${identity.sequence} ${sequenceOptions(identity.options)})`
  return ` generated ${how} as identity${options}`
}

function isNamedAfter(sequence: string, table: string, column: string): boolean {
  return PLAIN.test(table) && PLAIN.test(column) && sequence === `${table}_${column}_seq`
}

/** `serial`, where that makes exactly this column and its sequence; undefined where it would not. */
export function serialType(
  table: string,
  column: ColumnFacts,
  sequences: ReadonlyMap<string, ObjectOf<'sequence'>>,
): string | undefined {
  const [, name = ''] = /^nextval\('(\w+)'::regclass\)$/.exec(column.default ?? '') ?? []
  const sequence = sequences.get(name)
  if (sequence === undefined || sequence.facts.ownedBy !== `${table}.${column.name}`) return undefined
  const { facts } = sequence
  const usual = isUsual(facts) && facts.persistence === undefined && facts.type === column.type
  if (!usual || column.notNull === undefined || !isNamedAfter(name, table, column.name)) return undefined
  return SERIAL[column.type]
}
