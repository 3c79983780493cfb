/** What central work may not do: change the session that tenants use next. */
import type { Statement } from '../../sql/statement.ts'
import { commonProblem } from './common-rules.ts'

/** Kinds whose effect outlives the statement, wherever they stand: `CREATE TABLE … AS EXECUTE` too. */
const SESSION_KINDS = new Set([
  'DiscardStmt',
  'PrepareStmt',
  'ExecuteStmt',
  'DeallocateStmt',
  'DoStmt',
  'LoadStmt',
])

/** Calls whose effect outlives the statement. */
const SESSION_FUNCTIONS =
  /^(set_config|setseed|set_limit|pg_(try_)?advisory_lock(_shared)?|dblink_connect(_u)?)$/

/** Why central work may not run it; `undefined` where it may. */
export function centralProblem(statement: Statement): string | undefined {
  const { node, kind, nested, setting } = statement
  const common = commonProblem(statement)
  if (common !== undefined) return common
  if (node === 'VariableSetStmt' && kind === 'other') return outlives('SET')
  const outliving = [node, ...nested].find((name) => SESSION_KINDS.has(name))
  if (outliving !== undefined) return outlives(outliving.replace(/Stmt$/, '').toUpperCase())
  if (setting === 'role' || setting === 'session_authorization') {
    return 'it would change who the connection acts as'
  }
  for (const name of statement.functions) {
    if (SESSION_FUNCTIONS.test(name)) return `the function ${name}() would change the session`
  }
  return undefined
}

function outlives(what: string): string {
  return `${what} would change the session, and tenants use this connection next`
}
