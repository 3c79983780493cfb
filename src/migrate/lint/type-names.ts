/** Types of columns as texts, and which changes of a type leave the rows on disk as they are. */
import { type Fields, fieldsOf, findNodes, listOf, nameParts, textOf } from '../shared-form/sql-nodes.ts'

/** The grammar's names of types, as people write them. */
const WRITTEN: Readonly<Record<string, string>> = {
  int2: 'smallint',
  int4: 'integer',
  int8: 'bigint',
  float4: 'real',
  float8: 'double precision',
  bool: 'boolean',
  bpchar: 'char',
  timestamptz: 'timestamp with time zone',
  timetz: 'time with time zone',
  timestamp: 'timestamp',
}

/** `varchar(20)`, `numeric(10,2)`, `integer[]`, of a node `TypeName`. */
export function typeText(type: Fields | undefined): string {
  const parts = nameParts(type?.['names'])
  const own = parts[0] === 'pg_catalog' ? parts.slice(1) : parts
  // `char` without quotes is read as pg_catalog.bpchar; the other one holds a single byte.
  const name = own === parts && parts[0] === 'char' ? '"char"' : own.join('.')
  const limits = listOf(type?.['typmods']).map((limit) => {
    const constant = fieldsOf(limit, 'A_Const')
    const value = fieldsOf(constant, 'ival')
    // The grammar leaves a zero out.
    const number: unknown = value?.['ival'] ?? 0
    return value === undefined || typeof number !== 'number' ? '?' : String(number)
  })
  const array = listOf(type?.['arrayBounds']).length > 0 ? '[]' : ''
  return `${WRITTEN[name] ?? name}${limits.length === 0 ? '' : `(${limits.join(',')})`}${array}`
}

/** Whether rows stay as they are on disk where a column's type changes; `undefined` where its type is not known. */
export function keepsRows(
  from: string | undefined,
  to: string,
  conversion: Fields | undefined,
): boolean | undefined {
  if (conversion !== undefined && !isPlainConversion(conversion)) return false
  if (from === undefined) return undefined
  if (from === to) return true
  const [old, wanted] = [split(from), split(to)]
  if (old === undefined || wanted === undefined) return false
  if (wanted.name === 'text') return /^(text|varchar)$/.test(old.name)
  if (wanted.name === 'varchar') {
    if (old.name === 'text') return wanted.limits.length === 0
    return old.name === 'varchar' && isWider(old.limits, wanted.limits)
  }
  if (old.name === 'cidr' && wanted.name === 'inet') return true
  if (old.name !== wanted.name) return false
  if (wanted.name === 'numeric') {
    const [oldScale, scale] = [old.limits[1] ?? 0, wanted.limits[1] ?? 0]
    return wanted.limits.length === 0 || (isWider(old.limits, wanted.limits) && oldScale === scale)
  }
  return /^(varbit|time|timestamp|interval)/.test(wanted.name) && isWider(old.limits, wanted.limits)
}

/** `a`, `a::text`, `cast(a as text)` say no more than the change itself. */
function isPlainConversion(conversion: Fields): boolean {
  const names = Object.keys(conversion)
  if (names[0] === 'ColumnRef') return true
  const cast = fieldsOf(conversion, 'TypeCast')
  return (
    cast !== undefined &&
    findNodes(cast['arg'], 'TypeCast').length === 0 &&
    fieldsOf(cast['arg'], 'ColumnRef') !== undefined
  )
}

function split(type: string): { readonly name: string; readonly limits: readonly number[] } | undefined {
  const [, name, limits] = /^([^([]+?)(?:\(([^)]*)\))?$/.exec(type) ?? []
  if (name === undefined) return undefined
  return { name, limits: limits === undefined ? [] : limits.split(',').map(Number) }
}

/** No limit at all is the widest. */
function isWider([before]: readonly number[], [now]: readonly number[]): boolean {
  return now === undefined || (before !== undefined && now >= before)
}

/** The last part of a function's name, in a node `FuncCall`. */
export function functionName(call: Fields): string {
  return textOf(nameParts(call['funcname']).at(-1))
}
