/** The SQL inside of DO blocks and function bodies, as far as PL/pgSQL and SQL can be read. */
import { parsePlPgSQLSync } from 'libpg-query'
import {
  type Fields,
  fieldsOf,
  findNodes,
  listOf,
  nameParts,
  type SqlStatement,
  splitStatements,
  textOf,
} from '../shared-form/sql-nodes.ts'

/** Statements that a DO block may run, each at its place in the migration where that can be told. */
export function statementsInside({ node, fields, text, at }: SqlStatement): readonly SqlStatement[] {
  if (node !== 'DoStmt') return []
  const body = textOf(fieldsOf(optionOf(fields['args'], 'as'), 'String')?.['sval'])
  let from = Math.max(text.indexOf(body), 0)
  return queriesIn(text, true).flatMap((query) => {
    const place = text.indexOf(query, from)
    if (place >= 0) from = place + query.length
    return parsed(query).map((statement) => ({
      ...statement,
      at: place < 0 ? at : at + place + statement.at,
    }))
  })
}

/** Everything that a function's body, or a DO block, can be read as: statements and expressions. */
export function treesInside({
  node,
  fields,
  text,
}: Pick<SqlStatement, 'node' | 'fields' | 'text'>): readonly unknown[] {
  if (node === 'DoStmt') return queriesIn(text, false).flatMap(trees)
  if (node !== 'CreateFunctionStmt') return []
  const language = textOf(fieldsOf(optionOf(fields['options'], 'language'), 'String')?.['sval'])
  if (language === 'plpgsql') return queriesIn(text, false).flatMap(trees)
  if (language !== 'sql' && language !== '') return []
  return [fields['sql_body'], ...trees(bodyOf(fields))]
}

/** The text of a function's body; empty where it is written as a statement. */
export function bodyOf(fields: Fields): string {
  return nameParts(fieldsOf(optionOf(fields['options'], 'as'), 'List')?.['items'])[0] ?? ''
}

/** The value of an option such as `LANGUAGE` or `SECURITY DEFINER`. */
export function optionOf(options: unknown, name: string): unknown {
  return listOf(options)
    .map((each) => fieldsOf(each, 'DefElem'))
    .find((option) => option?.['defname'] === name)?.['arg']
}

function queriesIn(text: string, statementsOnly: boolean): readonly string[] {
  let tree: unknown
  try {
    tree = parsePlPgSQLSync(text)
  } catch {
    // Another language, or an extension's syntax: nothing is known of it.
    return []
  }
  const parts = statementsOnly ? findNodes(tree, 'PLpgSQL_stmt_execsql') : [{ tree }]
  return parts.flatMap((part) => findNodes(part, 'PLpgSQL_expr')).map(({ query }) => textOf(query))
}

function trees(query: string): readonly unknown[] {
  // An assignment keeps its target in front.
  const expression = query.replace(/^[\w.[\]"]+\s*:?=\s*/, '')
  const statements = parsed(query)
  const read = statements.length > 0 ? statements : parsed(`select ${expression}`)
  return read.map(({ node, fields }) => ({ [node]: fields }))
}

function parsed(query: string): readonly SqlStatement[] {
  try {
    return splitStatements(query)
  } catch {
    return []
  }
}
