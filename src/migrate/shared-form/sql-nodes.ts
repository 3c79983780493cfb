/** Parse trees of PostgreSQL's grammar: statements with their places in a text, and the questions asked of a tree. */
import { loadModule, parseSync, scanSync } from 'libpg-query'
import type { SqlParser } from '../../sql/parser.ts'

/** A node's fields, or any other object of a parse tree. */
export type Fields = Readonly<Record<string, unknown>>

/** One statement of a text. */
export interface SqlStatement {
  /** The grammar's name: `CreateStmt`. */
  readonly node: string
  readonly fields: Fields
  /** The statement alone, without what stands before it; comments inside and after it are kept. */
  readonly text: string
  /** Where `text` begins, in UTF-16 units. */
  readonly at: number
}

/** One word, sign or constant of a text; comments are none. */
export interface SqlToken {
  readonly text: string
  /** In UTF-16 units. */
  readonly start: number
  readonly end: number
}

interface ParsedStatement {
  readonly stmt?: Readonly<Record<string, Fields>>
  /** Both in bytes of UTF-8. */
  readonly stmt_location?: number
  readonly stmt_len?: number
}

/**
 * The statements of a text that the parser accepts. Call `loadParser()` of sql/statement.ts first.
 * @param starts where each begins, if that is known: what stands before is left out then.
 */
export function splitStatements(text: string, starts?: readonly number[]): readonly SqlStatement[] {
  const toUnits = unitsOf(text)
  const parsed = (parseSync(text) as unknown as { stmts?: ParsedStatement[] }).stmts ?? []
  return parsed.map(({ stmt, stmt_location: location = 0, stmt_len: length }, index) => {
    const [node = '', fields = {}] = Object.entries(stmt ?? {})[0] ?? []
    const at = starts?.[index] ?? toUnits(location)
    const end = length === undefined || length === 0 ? text.length : toUnits(location + length)
    return { node, fields, text: text.slice(at, end), at }
  })
}

/** The parser that read the migrations, for others that complete their texts. */
export const migrationParser: SqlParser = {
  load: loadModule,
  parse: (text) => (parseSync(text) as unknown as { stmts?: ParsedStatement[] }).stmts ?? [],
}

/** The words of a text, without its comments. */
export function scanTokens(text: string): readonly SqlToken[] {
  const toUnits = unitsOf(text)
  return scanSync(text)
    .tokens.filter(({ tokenName }) => !tokenName.endsWith('_COMMENT'))
    .map((token) => {
      const [start, end] = [toUnits(token.start), toUnits(token.end)]
      return { start, end, text: text.slice(start, end) }
    })
}

/** Turns places that the parser gives, in bytes of UTF-8, into UTF-16 units. */
function unitsOf(text: string): (bytes: number) => number {
  const bytes = Buffer.from(text)
  return bytes.length === text.length ? (at) => at : (at) => bytes.toString('utf8', 0, at).length
}

/** A field that holds a list of nodes. */
export function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? (value as Fields[]) : []
}

/** The object below `name`, as in `{ ColumnDef: { … } }`. */
export function fieldsOf(value: unknown, name: string): Fields | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const fields: unknown = Reflect.get(value, name)
  return typeof fields === 'object' && fields !== null ? (fields as Fields) : undefined
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** A name in its parts, as the grammar lists it: `[{String: {sval: 'public'}}, {String: {sval: 'users'}}]`. */
export function nameParts(value: unknown): readonly string[] {
  return listOf(value).map((part) => textOf(fieldsOf(part, 'String')?.['sval']))
}

/** Every node of a kind, anywhere in a tree. */
export function findNodes(value: unknown, name: string, found: Fields[] = []): readonly Fields[] {
  if (Array.isArray(value)) {
    for (const item of value) findNodes(item, name, found)
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, child] of Object.entries(value)) {
      if (key === name && typeof child === 'object' && child !== null) found.push(child as Fields)
      findNodes(child, name, found)
    }
  }
  return found
}
