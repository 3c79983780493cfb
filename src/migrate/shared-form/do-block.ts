/** Reads a DO block: one that only changes rows, or only structure, can be repeated where tenants share tables. */
import { parsePlPgSQLSync } from 'libpg-query'
import { judgeStatement, type Refusal } from './replay-rules.ts'
import { type Fields, fieldsOf, findNodes, splitStatements, textOf } from './sql-nodes.ts'
import { stripDerivedConstraints } from './strip-constraints.ts'

/** A block as it is repeated: rows once for each tenant, structure once without its derived constraints. */
export interface DoBlock {
  readonly kind: 'structure' | 'data'
  readonly shared: string
}

const WAY_OUT = 'Write plain statements instead of the DO block'

/** @param text the statement, which `fields` describe. */
export function readDoBlock(text: string, fields: Fields): DoBlock | Refusal {
  const options = findNodes(fields['args'], 'DefElem')
  const language = textOf(fieldsOf(optionOf(options, 'language'), 'String')?.['sval'])
  if (language !== '' && language !== 'plpgsql') return refusal(`a DO block in ${language} cannot be read`)
  let parsed: unknown
  try {
    parsed = parsePlPgSQLSync(text)
  } catch (error) {
    return refusal(error instanceof Error ? error.message : String(error))
  }
  if (/"PLpgSQL_stmt_dyn|"dynquery"/.test(JSON.stringify(parsed))) {
    return refusal('a DO block with EXECUTE may do anything')
  }
  if (/"PLpgSQL_stmt_(commit|rollback)"/.test(JSON.stringify(parsed))) {
    return refusal('each migration runs in a transaction of its own')
  }
  const body = textOf(fieldsOf(optionOf(options, 'as'), 'String')?.['sval'])
  const queries = findNodes(parsed, 'PLpgSQL_stmt_execsql').map((statement) =>
    textOf(fieldsOf(fieldsOf(statement, 'sqlstmt'), 'PLpgSQL_expr')?.['query']),
  )
  return repeatQueries(text, body, queries)
}

function repeatQueries(text: string, body: string, queries: readonly string[]): DoBlock | Refusal {
  let shared = text
  const kinds = new Set<DoBlock['kind']>()
  // An escaped body ('…' with doubled quotes) does not stand in the text as it is: only rows can be told then.
  let from = text.indexOf(body)
  for (const query of queries) {
    const statement = splitStatements(query)[0]
    if (statement === undefined) continue
    const { node, fields } = statement
    // `SELECT … INTO variable` is the assignment of PL/pgSQL, which keeps INTO out of the query that it gives.
    const treatment = judgeStatement(node, fields)
    if (typeof treatment === 'object') return { ...treatment, wayOut: `${treatment.wayOut}; or: ${WAY_OUT}` }
    if (treatment === 'view') return refusal('a view in a DO block cannot be derived')
    if (treatment === 'data' && needsCompletion({ [node]: fields })) {
      return refusal('in a DO block an INSERT must name its columns, and ON CONFLICT the constraint')
    }
    kinds.add(treatment === 'data' ? 'data' : 'structure')
    if (treatment === 'data') continue
    const start = text.indexOf(query, from)
    if (from < 0 || start < 0) return refusal('a DO block with structure in it must be written between $$')
    from = start + query.length
    const stripped = strippedQuery(node, query, treatment === 'skip')
    if (stripped === undefined)
      return refusal('its statements could not be told apart from their constraints')
    shared = shared.slice(0, start) + stripped + shared.slice(from)
  }
  if (kinds.size > 1) return refusal('a DO block that changes structure and rows cannot be repeated')
  return { kind: kinds.has('structure') ? 'structure' : 'data', shared }
}

/** As long as the query: `null` is the statement of PL/pgSQL that does nothing. */
function strippedQuery(node: string, query: string, skipped: boolean): string | undefined {
  const nothing = 'null' + query.slice(4).replaceAll(/[^\n]/g, ' ')
  if (skipped) return nothing
  if (node !== 'CreateStmt' && node !== 'AlterTableStmt') return query
  try {
    return stripDerivedConstraints(query) ?? nothing
  } catch {
    return undefined
  }
}

function needsCompletion(tree: unknown): boolean {
  const positional = findNodes(tree, 'InsertStmt').some(
    ({ cols, selectStmt }) => cols === undefined && selectStmt !== undefined,
  )
  return positional || findNodes(tree, 'infer').some(({ indexElems }) => indexElems !== undefined)
}

function optionOf(options: readonly Fields[], name: string): unknown {
  return options.find(({ defname }) => defname === name)?.['arg']
}

function refusal(reason: string): Refusal {
  return { reason, wayOut: WAY_OUT }
}
