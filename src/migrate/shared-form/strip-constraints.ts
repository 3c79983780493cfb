/** Takes out of CREATE TABLE and ALTER TABLE the constraints that shared tables have in another form. */
import { isDeepStrictEqual } from 'node:util'
import {
  type Fields,
  fieldsOf,
  listOf,
  scanTokens,
  type SqlToken,
  splitStatements,
  textOf,
} from './sql-nodes.ts'

/** Led by `tenant_id` in shared tables, and so derived from the pattern's catalogs, not from the text. */
const DERIVED = new Set(['CONSTR_PRIMARY', 'CONSTR_UNIQUE', 'CONSTR_FOREIGN'])

/**
 * The same statement without its PRIMARY KEY, UNIQUE and FOREIGN KEY constraints. They are replaced by blanks, so that
 * everything else stays where it was and an error's position means the same place.
 * @param text one CREATE TABLE or ALTER TABLE.
 * @returns `undefined` where nothing is left to do.
 * @throws Error where the text could not be cut to exactly that.
 */
export function stripDerivedConstraints(text: string): string | undefined {
  const [statement] = splitStatements(text)
  if (statement === undefined) return undefined
  const { node, fields } = statement
  const expected = node === 'CreateStmt' ? strippedTable(fields) : strippedAlter(fields)
  if (isDeepStrictEqual(expected, fields)) return text
  if (expected === undefined) return undefined
  const stripped = node === 'CreateStmt' ? blankTable(text, fields) : blankAlter(text, fields)
  const [result] = splitStatements(stripped)
  // Cutting goes by the text, this by its meaning: whatever was overlooked ends here and never in a table.
  if (!isDeepStrictEqual(withoutPlaces(result?.fields), withoutPlaces(expected))) {
    throw new Error('its constraints could not be told apart from the rest')
  }
  return stripped
}

function isDerived(element: Fields): boolean {
  return DERIVED.has(textOf(fieldsOf(element, 'Constraint')?.['contype']))
}

/** Which of a column's constraints go: the derived ones, and the DEFERRABLE and the like that belong to them. */
function derivedOfColumn(constraints: readonly Fields[]): readonly boolean[] {
  let derived = false
  return constraints.map((constraint) => {
    const type = textOf(fieldsOf(constraint, 'Constraint')?.['contype'])
    if (!type.startsWith('CONSTR_ATTR_')) derived = DERIVED.has(type)
    return derived
  })
}

function strippedTable(fields: Fields): Fields {
  const elements = listOf(fields['tableElts'])
  const kept = elements.filter((element) => !isDerived(element)).map(strippedColumn)
  return withList(fields, 'tableElts', kept)
}

function strippedColumn(element: Fields): Fields {
  const column = fieldsOf(element, 'ColumnDef')
  if (column === undefined) return element
  const constraints = listOf(column['constraints'])
  const derived = derivedOfColumn(constraints)
  const kept = constraints.filter((_, index) => derived[index] !== true)
  return { ColumnDef: withList(column, 'constraints', kept) }
}

function strippedAlter(fields: Fields): Fields | undefined {
  const kept = listOf(fields['cmds']).filter((command) => !isDerivedCommand(command))
  if (kept.length === 0) return undefined
  const commands = kept.map((command) => {
    const alter = fieldsOf(command, 'AlterTableCmd')
    const definition = fieldsOf(alter?.['def'], 'ColumnDef')
    if (alter === undefined || definition === undefined) return command
    return { AlterTableCmd: { ...alter, def: strippedColumn({ ColumnDef: definition }) } }
  })
  return withList(fields, 'cmds', commands)
}

/** Whether a command of ALTER TABLE adds a derived constraint and nothing else. */
function isDerivedCommand(command: Fields): boolean {
  const definition = fieldsOf(fieldsOf(command, 'AlterTableCmd'), 'def')
  return definition !== undefined && isDerived(definition)
}

/** The grammar leaves empty lists out. */
function withList(fields: Fields, name: string, list: readonly Fields[]): Fields {
  const rest = Object.entries(fields).filter(([key]) => key !== name)
  return list.length === 0 ? Object.fromEntries(rest) : { ...fields, [name]: list }
}

function withoutPlaces(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPlaces)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== 'location' && key !== 'stmt_len')
      .map(([key, child]) => [key, withoutPlaces(child)]),
  )
}

/** A part of a list in the text, between its commas. */
interface Segment {
  readonly start: number
  readonly end: number
}

function blankTable(text: string, fields: Fields): string {
  const elements = listOf(fields['tableElts'])
  const tokens = tokensAfterName(text, fields)
  const open = tokens.findIndex((token) => token.text === '(')
  const { segments, close } = segmentsOf(tokens, open + 1, tokens[open]?.end ?? 0, text.length)
  const cuts = cutSegments(segments, elements.map(isDerived))
  // PARTITION OF does not allow an empty list.
  if (elements.every(isDerived) && fields['partbound'] !== undefined) {
    cuts.push({ start: tokens[open]?.start ?? 0, end: (close ?? 0) + 1 })
  }
  elements.forEach((element, index) => {
    const segment = segments[index]
    if (segment !== undefined) cuts.push(...columnCuts(text, fieldsOf(element, 'ColumnDef'), segment))
  })
  return blank(text, cuts)
}

function blankAlter(text: string, fields: Fields): string {
  const commands = listOf(fields['cmds'])
  const tokens = tokensAfterName(text, fields)
  const { segments } = segmentsOf(tokens, 0, tokens[0]?.start ?? 0, text.length)
  const cuts = cutSegments(segments, commands.map(isDerivedCommand))
  commands.forEach((command, index) => {
    const segment = segments[index]
    const definition = fieldsOf(fieldsOf(command, 'AlterTableCmd')?.['def'], 'ColumnDef')
    if (segment !== undefined) cuts.push(...columnCuts(text, definition, segment))
  })
  return blank(text, cuts)
}

/** The tokens behind the table's name, which may be qualified and, in ALTER TABLE, followed by `*`. */
function tokensAfterName(text: string, fields: Fields): readonly SqlToken[] {
  const tokens = scanTokens(text)
  const location = placeOf(text, fieldsOf(fields, 'relation'))
  let index = tokens.findIndex(({ start }) => start >= location) + 1
  while (tokens[index]?.text === '.') index += 2
  if (tokens[index]?.text === '*') index++
  return tokens.slice(index)
}

/** Cuts at commas outside brackets, up to the bracket that closes the list or the end of the text. */
function segmentsOf(
  tokens: readonly SqlToken[],
  first: number,
  from: number,
  length: number,
): { segments: readonly Segment[]; close: number | undefined } {
  const segments: Segment[] = []
  let [start, depth] = [from, 0]
  for (const token of tokens.slice(first)) {
    if (token.text === '(' || token.text === '[') depth++
    if (token.text === ')' || token.text === ']') depth--
    if (depth < 0) return { segments: [...segments, { start, end: token.start }], close: token.start }
    if (depth > 0 || token.text !== ',') continue
    segments.push({ start, end: token.start })
    start = token.end
  }
  return { segments: [...segments, { start, end: length }], close: undefined }
}

/** The segments that go, each with a comma: of those that stay, all but the first keep the one before them. */
function cutSegments(segments: readonly Segment[], goes: readonly boolean[]): Segment[] {
  const cuts: Segment[] = []
  let kept = 0
  segments.forEach((segment, index) => {
    const stays = goes[index] !== true
    if (!stays) cuts.push(segment)
    if (index > 0 && (!stays || kept === 0)) cuts.push({ start: segment.start - 1, end: segment.start })
    if (stays) kept++
  })
  return cuts
}

/** A column's constraint reaches to the next one, to its COLLATE, or to the column's end. */
function columnCuts(text: string, column: Fields | undefined, segment: Segment): Segment[] {
  if (column === undefined) return []
  const constraints = listOf(column['constraints'])
  const starts = constraints.map((constraint) => placeOf(text, fieldsOf(constraint, 'Constraint')))
  const collation = fieldsOf(column, 'collClause')
  const ends = [...starts, ...(collation === undefined ? [] : [placeOf(text, collation)]), segment.end]
  return derivedOfColumn(constraints).flatMap((derived, index) => {
    const start = starts[index] ?? segment.end
    return derived ? [{ start, end: Math.min(...ends.filter((end) => end > start)) }] : []
  })
}

function placeOf(text: string, fields: Fields | undefined): number {
  const location = Number(fields?.['location'] ?? 0)
  return Buffer.from(text).toString('utf8', 0, location).length
}

/** Line breaks stay, so that lines can still be counted. */
function blank(text: string, cuts: readonly Segment[]): string {
  let result = text
  for (const { start, end } of cuts) {
    result = result.slice(0, start) + result.slice(start, end).replaceAll(/[^\n]/g, ' ') + result.slice(end)
  }
  return result
}
