/** The SQL guard: which statements may run for a tenant. It closes what roles leave open (SET ROLE, DO, …). */
import { LRUCache } from 'lru-cache'
import { TenantryError } from '../core/errors.ts'
import type { GuardMode, Handling, StatementGuard } from '../core/guard.ts'
import { loadParser, readStatement, type Statement } from '../sql/statement.ts'

/** Verdicts are kept for this many characters of SQL in all; longer texts than the second are read each time. */
const CACHE_CHARACTERS = 8_000_000
const LONGEST_CACHED_TEXT = 100_000

/**
 * Functions that leave a tenant's bounds: they change settings, run SQL given as text, reach files, other servers or
 * large objects, or leave state that the next tenant on the connection would meet (FINDINGS 7, 15).
 */
const REFUSED_FUNCTIONS = new Set(
  (
    'set_config setseed pg_notify ' +
    'query_to_xml query_to_xml_and_xmlschema query_to_xmlschema cursor_to_xml cursor_to_xmlschema ' +
    'table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema ' +
    'schema_to_xml_and_xmlschema database_to_xml database_to_xmlschema database_to_xml_and_xmlschema ' +
    'ts_stat ts_rewrite crosstab crosstab2 crosstab3 crosstab4 crosstabn connectby xpath_table ' +
    'pg_logical_emit_message pg_cancel_backend pg_terminate_backend pg_reload_conf pg_rotate_logfile ' +
    'pg_switch_wal pg_create_restore_point pg_backup_start pg_backup_stop pg_export_snapshot'
  ).split(' '),
)
const REFUSED_FAMILIES =
  /^(dblink|lo_|lo(read|write|import|export|creat)|pg_(try_)?advisory_|pg_read_|pg_ls_|pg_stat_file|pg_stat_reset|pg_replication_|pg_(create|drop|copy)_\w*slot|postgres_fdw)/

/** Settings that a transaction may change for itself; none of them changes who it is or what it sees. */
const LOCAL_SETTINGS = new Set([
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

/** Calls whose effect outlives the statement on a connection that tenants share. */
const SESSION_FUNCTIONS = /^(set_config|setseed|pg_(try_)?advisory_lock(_shared)?)$/

/** A guard with a cache of its own. */
export function createGuard(): StatementGuard {
  const verdicts: Record<GuardMode, LRUCache<string, Handling>> = {
    tenant: createVerdictCache(),
    central: createVerdictCache(),
  }
  return {
    load: loadParser,
    check(text, mode) {
      const cached = verdicts[mode].get(text)
      if (cached !== undefined) return cached
      const statement = readStatement(text)
      const reason = mode === 'tenant' ? tenantProblem(statement) : centralProblem(statement)
      if (reason !== undefined) throw new TenantryError('TNY204', { params: { reason } })
      const handling = handlingOf(statement)
      if (text.length <= LONGEST_CACHED_TEXT) verdicts[mode].set(text, handling)
      return handling
    },
  }
}

function createVerdictCache(): LRUCache<string, Handling> {
  return new LRUCache({ maxSize: CACHE_CHARACTERS, sizeCalculation: (_, text) => text.length + 100 })
}

function commonProblem(statement: Statement): string | undefined {
  if (statement.count > 1) return 'it holds several statements; send them one by one'
  if (statement.traits.has('chain')) return 'AND CHAIN would leave a transaction open without a tenant'
  if (statement.traits.has('hold')) return 'a cursor WITH HOLD would outlive its transaction'
  if (statement.traits.has('temp')) return 'temporary tables would be seen by the next tenant'
  if (statement.node === 'CopyStmt' && statement.kind === 'other') {
    return 'COPY with a file or a program reaches beyond the database'
  }
  if (statement.node === 'ListenStmt' || statement.node === 'UnlistenStmt') {
    throw new TenantryError('TNY210', {
      params: {
        what: 'LISTEN',
        instead: 'Use a direct connection of your own; channels are seen by all tenants.',
      },
    })
  }
  return undefined
}

function tenantProblem(statement: Statement): string | undefined {
  const common = commonProblem(statement)
  if (common !== undefined) return common
  if (statement.kind === 'other') return `${nameOf(statement)} is not among the kinds that a tenant may run`
  if (statement.traits.has('into')) return 'SELECT INTO makes a table; that belongs in a migration'
  if (statement.kind === 'set-local' && !LOCAL_SETTINGS.has(statement.setting ?? '')) {
    return `SET LOCAL ${statement.setting ?? ''} is not among the settings that a tenant may change`
  }
  for (const name of statement.functions) {
    if (REFUSED_FUNCTIONS.has(name) || REFUSED_FAMILIES.test(name))
      return `the function ${name}() reaches beyond a tenant`
  }
  for (const target of statement.targets) {
    if (/^(pg_catalog\.|information_schema\.|tenantry\.|pg_)/.test(target)) return `it writes to ${target}`
  }
  return undefined
}

function centralProblem(statement: Statement): string | undefined {
  const common = commonProblem(statement)
  if (common !== undefined) return common
  if (
    [
      'VariableSetStmt',
      'DiscardStmt',
      'PrepareStmt',
      'ExecuteStmt',
      'DeallocateStmt',
      'DoStmt',
      'LoadStmt',
    ].includes(statement.node)
  ) {
    if (statement.kind === 'other') {
      return `${nameOf(statement)} would change the session, and tenants use this connection next`
    }
    if (statement.setting === 'role' || statement.setting === 'session_authorization') {
      return 'it would change who the connection acts as'
    }
  }
  for (const name of statement.functions) {
    if (SESSION_FUNCTIONS.test(name)) return `the function ${name}() would change the session`
  }
  return undefined
}

function nameOf(statement: Statement): string {
  return statement.node
    .replace(/Stmt$/, '')
    .replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ')
    .toUpperCase()
}

function handlingOf(statement: Statement): Handling {
  switch (statement.kind) {
    case 'begin':
    case 'commit':
    case 'rollback':
    case 'set-transaction':
    case 'call':
    case 'copy-in':
    case 'copy-out':
      return statement.kind
    case 'savepoint':
    case 'cursor':
    case 'set-local':
      return 'in-transaction'
    case 'show':
      return 'introspection'
    default:
      return isVersionQuestion(statement) ? 'introspection' : 'send'
  }
}

/** `select version()`, which Knex, TypeORM and others ask at start. */
function isVersionQuestion({ node, functions, traits }: Statement): boolean {
  return node === 'SelectStmt' && !traits.has('reads') && functions.size === 1 && functions.has('version')
}
