/** Which statements a tenant may run, and which of the others a guard that only reports can let through. */
import type { Statement } from '../../sql/statement.ts'
import { isKnownToReach } from '../reaching-functions.ts'
import { commonProblem, type Problem } from './common-rules.ts'

/** Settings that a transaction may change for itself; none of them changes who it is or what it sees. */
export const LOCAL_SETTINGS: ReadonlySet<string> = new Set([
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'work_mem',
  'timezone',
  'datestyle',
  'intervalstyle',
  'synchronous_commit',
  'constraint_exclusion',
])
/** Who it is, and how the next text is read: never let through, though they end with the transaction. */
const BINDING_SETTINGS =
  /^(role|session_authorization|standard_conforming_strings|client_encoding|app\.current_tenant|tenantry\..*|transaction.*)$/

/** Statements inside of statements: a tenant's are these alone. EXPLAIN ANALYZE runs what it explains. */
const NESTED = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'])

/** It shows the statements of every tenant that the connection has served (FINDINGS 15). */
const HIDDEN_RELATIONS = new Set(['pg_prepared_statements'])

/** DDL and the like: it changes nothing of the session, and the role's rights still decide. */
const CARRIED_KINDS = new Set(
  (
    'CreateStmt CreateTableAsStmt ViewStmt IndexStmt CreateSeqStmt AlterSeqStmt AlterTableStmt DropStmt TruncateStmt ' +
    'RenameStmt CommentStmt GrantStmt CreateFunctionStmt AlterFunctionStmt CreateTrigStmt CreateEnumStmt AlterEnumStmt ' +
    'CreateDomainStmt AlterDomainStmt CompositeTypeStmt CreateSchemaStmt RefreshMatViewStmt RuleStmt NotifyStmt ' +
    'AlterObjectSchemaStmt CreatePolicyStmt AlterPolicyStmt CreateStatsStmt AlterStatsStmt'
  ).split(' '),
)
/** They reach beyond the tenant, and leave nothing behind on the connection. */
const CARRIED_FUNCTIONS =
  /^(pg_notify|pg_(try_)?advisory_xact_\w+|lo_(creat|create|from_bytea|get|put|open|close|lseek|lseek64|tell|tell64|truncate|truncate64|unlink)|loread|lowrite|pg_logical_emit_message)$/

/**
 * Why a tenant may not run it; `undefined` where it may.
 * @param denied functions that the running server has beside those known.
 */
export function tenantProblem(statement: Statement, denied: ReadonlySet<string>): Problem | undefined {
  const problems = [...tenantProblems(statement, denied)]
  // One that cannot be carried decides, whatever else there is.
  return problems.find(({ carried }) => !carried) ?? problems[0]
}

function* tenantProblems(statement: Statement, denied: ReadonlySet<string>): Generator<Problem> {
  const { kind, node, nested, traits, setting = '' } = statement
  const common = commonProblem(statement)
  if (common !== undefined) yield { reason: common, carried: false }
  if (kind === 'other') {
    const reason = `${nameOf(node)} is not among the kinds that a tenant may run`
    yield { reason, carried: CARRIED_KINDS.has(node) }
  }
  for (const name of nested) {
    if (!NESTED.has(name)) yield { reason: `it holds ${nameOf(name)}`, carried: false }
  }
  if (traits.has('into')) {
    yield { reason: 'SELECT INTO makes a table; that belongs in a migration', carried: true }
  }
  if (kind === 'set-local' && !LOCAL_SETTINGS.has(setting)) {
    const reason = `SET LOCAL ${setting} is not among the settings that a tenant may change`
    yield { reason, carried: !BINDING_SETTINGS.test(setting) }
  }
  for (const name of statement.functions) {
    if (!isKnownToReach(name) && !denied.has(name)) continue
    yield { reason: `the function ${name}() reaches beyond a tenant`, carried: CARRIED_FUNCTIONS.test(name) }
  }
  for (const name of statement.relations) {
    if (HIDDEN_RELATIONS.has(name))
      yield { reason: `${name} shows statements of other tenants`, carried: false }
  }
  for (const target of statement.targets) {
    if (/^(pg_catalog\.|information_schema\.|tenantry\.|pg_)/.test(target)) {
      yield { reason: `it writes to ${target}`, carried: false }
    }
  }
}

function nameOf(node: string): string {
  return node
    .replace(/Stmt$/, '')
    .replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ')
    .toUpperCase()
}

/** LOCK in these modes stops other tenants, where the table is theirs as well: from SHARE UPDATE EXCLUSIVE on. */
const FIRST_BLOCKING_MODE = 4

/** Why a tenant of the shared model may not run it. */
export function sharedProblem({ lockMode }: Statement): string | undefined {
  if (lockMode < FIRST_BLOCKING_MODE) return undefined
  return 'the lock would stop every tenant that has rows in the table'
}
