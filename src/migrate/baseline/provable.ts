/** Judges by their text whether migrations give each tenant the same: what they may hold for that, and what they may not. */
import { parseSync } from 'libpg-query'
import type { Migration } from '../files/migration.ts'

type Fields = Readonly<Record<string, unknown>>

/** Statements whose whole effect lies in the schema, is described there, and does not depend on who runs them when. */
const STRUCTURE = new Set(
  `CreateStmt AlterTableStmt IndexStmt ViewStmt CreateSeqStmt AlterSeqStmt CreateEnumStmt AlterEnumStmt CompositeTypeStmt
  CreateDomainStmt AlterDomainStmt CreateRangeStmt CreateFunctionStmt AlterFunctionStmt CreateTrigStmt RuleStmt CreatePolicyStmt
  AlterPolicyStmt CommentStmt RenameStmt DropStmt GrantStmt CreateStatsStmt AlterStatsStmt DefineStmt AlterOperatorStmt
  AlterObjectDependsStmt ConstraintsSetStmt VariableSetStmt LockStmt TruncateStmt RefreshMatViewStmt AlterTypeStmt`.split(
    /\s+/,
  ),
)
/** Statements that read or write rows. */
const ROWS = new Set([
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'SelectStmt',
  'CreateTableAsStmt',
])

/** Functions that answer otherwise at another time, in another session or for another role. */
const CHANGING =
  /\b(now|timeofday|(clock|statement|transaction)_timestamp|localtime(stamp)?|random(_normal)?|(gen_random_)?uuid\w*|gen_salt|gen_random_bytes|current_(date|time|timestamp|user|role|catalog|schema|schemas|setting|database|query)|session_user|system_user|inet_\w+_\w+|pg_backend_pid|txid_\w+|pg_current_\w+|version)\b/i
/** What makes of a moment something that two builds might have in common. */
const COARSE =
  /current_(date|user|role|catalog|schema|database|setting)|session_user|system_user|localtime\b|current_time\b|\(\d\)|date|trunc|part|extract|to_char/i

/** Why migrations may give one tenant what they do not give another; undefined where their texts show nothing. */
export function findDoubt(migrations: readonly Migration[]): string | undefined {
  for (const { file, up, perTenant, options } of migrations) {
    const why =
      perTenant !== undefined
        ? 'its code is asked for each tenant'
        : options.batch
          ? 'it changes rows in batches'
          : options.transaction
            ? doubtOf(up)
            : 'it runs outside of a transaction'
    if (why !== undefined) return `${file}: ${why}`
  }
  return undefined
}

function doubtOf(sql: string): string | undefined {
  const { stmts = [] } = parseSync(sql) as unknown as {
    stmts?: { stmt?: Readonly<Record<string, Fields>> }[]
  }
  for (const { stmt = {} } of stmts) {
    const [node = '', fields = {}] = Object.entries(stmt)[0] ?? []
    const why = doubtOfStatement(node, fields)
    if (why !== undefined) return why
  }
  return undefined
}

function doubtOfStatement(node: string, fields: Fields): string | undefined {
  if (STRUCTURE.has(node)) return undefined
  const text = JSON.stringify(fields)
  if (node === 'DoStmt') {
    const word = CHANGING.exec(text)?.[0]
    return word === undefined ? undefined : `its DO block calls ${word}`
  }
  if (!ROWS.has(node)) return `what ${node.replace(/Stmt$/, '')} does is not told by a schema`
  const functions = [...text.matchAll(/"funcname":\[(.*?)\]/g)].map(([, names = '']) =>
    [...names.matchAll(/"sval":"([^"]*)"/g)].map(([, name = '']) => name),
  )
  const changing = functions.find((names) => CHANGING.test(names.at(-1) ?? ''))
  if (changing !== undefined) return `a statement on rows calls ${changing.join('.')}`
  const value = /"SQLValueFunction":\{"op":"SVFOP_(\w+)"/.exec(text)?.[1]
  if (value !== undefined) return `a statement on rows calls ${value.toLowerCase()}`
  const outside = [...text.matchAll(/"schemaname":"([^"]*)"/g)].find(
    ([, name]) => name !== 'pg_catalog' && name !== 'information_schema',
  )?.[1]
  const foreign = functions.find(([first = '', second]) => second !== undefined && first !== 'pg_catalog')
  if (foreign !== undefined) return `a statement on rows calls ${foreign.join('.')}`
  return outside === undefined ? undefined : `a statement on rows names the schema ${outside}`
}

/** Why a column's default may have written other rows, where two builds at different moments wrote the same ones. */
export function doubtOfDefault(expression: string, type: string): boolean {
  const word = CHANGING.exec(expression)
  if (word === null) return false
  return COARSE.test(expression) || !/^timestamp with(out)? time zone$/.test(type)
}

/** Why a function that wrote rows may write others: read by words, since no grammar reads its language. */
export function doubtOfBody(definition: string): boolean {
  return CHANGING.test(definition)
}
