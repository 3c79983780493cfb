/** Rules on what a migration of many tenants may not do, or may do once only. */
import { readDoBlock } from '../../shared-form/do-block.ts'
import { findNameOutside } from '../../shared-form/names-outside.ts'
import { judgeStatement } from '../../shared-form/replay-rules.ts'
import { type Fields, fieldsOf, findNodes, listOf, nameParts, textOf } from '../../shared-form/sql-nodes.ts'
import { bodyOf, optionOf, treesInside } from '../code-inside.ts'
import { isKnown, ownName, relationName } from '../known-schema.ts'
import { qualifiedNames, TENANT_SCHEMA } from '../qualified-names.ts'
import type { LintContext, LintedStatement, MigrationRule } from '../migration-rule.ts'

/** Nobody's own: a name with one of these before it means what it says. */
const COMMON_SCHEMA = /^(pg_catalog|pg_temp|information_schema|pg_toast.*)$/

const WRITES = /^(Insert|Update|Delete|Merge|Select|Copy|Truncate)Stmt$/

/** Tenants' schemas, shared tables, and who may what. */
export const TENANT_RULES: readonly MigrationRule[] = [
  {
    name: 'hard-coded-schema',
    level: 'error',
    check(statement, context) {
      const names = new Set(
        qualifiedNames(statement)
          .filter((parts) => isOneTenants(parts, context))
          .map((parts) => parts.join('.')),
      )
      return [...names].map((name) => ({
        reason: `${name} is one schema's, but the statement runs for every tenant: all of them would read or change the same.`,
        wayOut: 'Leave the schema out: the path leads to the tenant’s own.',
      }))
    },
  },
  {
    name: 'ddl-outside-tenant',
    level: 'error',
    check(statement, context) {
      if (context.set !== 'tenant' || WRITES.test(statement.node)) return []
      const outside = outsideName(statement, context)
      const what = outside ?? DATABASE_OBJECTS[statement.node]
      if (what === undefined) return []
      return [
        {
          reason: `${what} is not the tenant's own: it would be changed once for each tenant, which fails for the second one.`,
          wayOut: 'Move the statement to a shared migration.',
        },
      ]
    },
  },
  {
    name: 'rows-outside-tenant',
    level: 'warning',
    check(statement, context) {
      const { node } = statement
      if (context.set !== 'tenant' || !WRITES.test(node)) return []
      const outside = outsideName(statement, context)
      if (outside === undefined) return []
      return [
        {
          reason: `It writes to ${outside} once for each tenant, and again for each that comes later.`,
          wayOut:
            'Move the statement to a shared migration; or make its rows the tenant’s, and ignore this with a reason.',
        },
      ]
    },
  },
  {
    name: 'on-conflict-columns',
    level: 'warning',
    check(statement, { set, sharing }) {
      if (set !== 'tenant' || sharing === 'none' || !/^(CreateFunction|Do)Stmt$/.test(statement.node))
        return []
      const text = statement.node === 'DoStmt' ? '' : bodyOf(statement.fields)
      const named = /\bon\s+conflict\s*\(/i.test(text.replaceAll(/--[^\n]*|\/\*[\s\S]*?\*\//g, ' '))
      const read = findNodes([...treesInside(statement)], 'infer').some(
        ({ indexElems }) => indexElems !== undefined,
      )
      if (!named && !read) return []
      return [
        {
          reason:
            'For tenants that share tables every unique constraint is led by tenant_id, which the columns of ON CONFLICT here do not name (42P10). In plain statements Tenantry adds it; in a function or a DO block it cannot.',
          wayOut:
            'ON CONFLICT ON CONSTRAINT … with the name of the constraint, which is the same in both forms.',
        },
      ]
    },
  },
  {
    name: 'no-shared-form',
    level: 'warning',
    check({ node, fields, text, inside }, { set, sharing }) {
      if (set !== 'tenant' || sharing === 'none' || inside !== undefined) return []
      const verdict = node === 'DoStmt' ? readDoBlock(text, fields) : judgeStatement(node, fields)
      if (typeof verdict !== 'object' || !('reason' in verdict)) return []
      return [
        {
          reason: `Tenants that share tables cannot have it: ${verdict.reason} (TNY407).`,
          wayOut: `${verdict.wayOut}.`,
        },
      ]
    },
  },
  {
    name: 'global-unique',
    level: 'warning',
    check(statement, context) {
      if (context.set !== 'shared') return []
      const table = relationName(context.known, statement.fields['relation'])
      const columns = context.made.shared.relations.get(table)?.columns
      if (columns?.has('tenant_id') !== true) return []
      return uniqueColumns(statement)
        .filter(
          (names) => !names.includes('tenant_id') && !names.every((name) => isRandom(columns.get(name))),
        )
        .map((names) => ({
          reason: `(${names.join(', ')}) of ${table} is unique over all tenants: one learns from a refusal what another has, and can take a value from it.`,
          wayOut: `UNIQUE (tenant_id, ${names.join(', ')}); or an ignore, where it is meant to be one tenant's at a time, as a domain.`,
        }))
    },
  },
  {
    name: 'role-change',
    level: 'error',
    check: ({ node }, { set }) =>
      set === 'tenant' &&
      /^(CreateRole|AlterRole|AlterRoleSet|DropRole|GrantRole|DropOwned|ReassignOwned)Stmt$/.test(node)
        ? [
            {
              reason:
                'Roles belong to the whole server: it would be done once for each tenant, and each tenant has its own roles already.',
              wayOut: 'Move the statement to a shared migration, or do it outside of migrations.',
            },
          ]
        : [],
  },
  {
    name: 'grant-change',
    level: 'warning',
    check({ node, fields }, { set }) {
      const owner =
        node === 'AlterOwnerStmt' ||
        (node === 'AlterTableStmt' && JSON.stringify(fields['cmds']).includes('"AT_ChangeOwner"'))
      const grants =
        (node === 'GrantStmt' && fields['is_grant'] === true) || node === 'AlterDefaultPrivilegesStmt'
      const everybody = grants && JSON.stringify(fields).includes('"ROLESPEC_PUBLIC"')
      if (!(set === 'tenant' ? owner || grants : everybody)) return []
      return [
        {
          reason: owner
            ? 'Objects of another owner are out of reach of later migrations, which run as the tenant’s owner role.'
            : everybody
              ? 'PUBLIC is every tenant’s role too.'
              : 'Tenantry gives the tenant’s role its rights; a right for another role opens this tenant to it.',
          wayOut: everybody && set === 'shared' ? 'Name the roles that need it.' : 'Leave it out.',
        },
      ]
    },
  },
  {
    name: 'definer-search-path',
    level: 'error',
    check({ node, fields }, { statements, index, known }) {
      if (node !== 'CreateFunctionStmt') return []
      const definer = fieldsOf(optionOf(fields['options'], 'security'), 'Boolean')?.['boolval'] === true
      if (!definer || JSON.stringify(fields['options']).includes('"name":"search_path"')) return []
      const name = ownName(known, nameParts(fields['funcname']))
      const later = statements
        .slice(index + 1)
        .some(
          (after) =>
            after.node === 'AlterFunctionStmt' &&
            JSON.stringify(after.fields['actions']).includes('"name":"search_path"') &&
            ownName(known, nameParts(fieldsOf(after.fields, 'func')?.['objname'])) === name,
        )
      if (later) return []
      return [
        {
          reason: `${name} runs with its owner's rights and its caller's search_path: the caller chooses what the names in it mean.`,
          wayOut:
            "SECURITY INVOKER, the default; or SET search_path = '' (or to the schemas that it needs) in the function.",
        },
      ]
    },
  },
  {
    name: 'row-security-off',
    level: 'warning',
    check: ({ node, fields }) =>
      node === 'AlterTableStmt' &&
      /"AT_(DisableRowSecurity|NoForceRowSecurity)"/.test(JSON.stringify(fields['cmds']))
        ? [
            {
              reason:
                'From then on no policy keeps rows of one tenant from another, or from the table’s owner.',
              wayOut: 'Leave row security on, and change the policies.',
            },
          ]
        : [],
  },
]

/** What belongs to the database, not to a schema. */
const DATABASE_OBJECTS: Readonly<Record<string, string>> = {
  CreateSchemaStmt: 'A schema',
  CreatePublicationStmt: 'A publication',
  AlterPublicationStmt: 'A publication',
  CreateEventTrigStmt: 'An event trigger',
  CreateFdwStmt: 'A foreign data wrapper',
  CreateForeignServerStmt: 'A foreign server',
  CreateUserMappingStmt: 'A user mapping',
  CreateCastStmt: 'A cast',
  CreatePLangStmt: 'A language',
  CreateTransformStmt: 'A transform',
  AlterDatabaseStmt: 'The database',
  AlterDatabaseSetStmt: 'The database',
}

function outsideName(statement: LintedStatement, context: LintContext): string | undefined {
  const outside = findNameOutside(statement.node, statement.fields)
  if (outside === undefined || COMMON_SCHEMA.test(outside.split('.')[0] ?? '')) return undefined
  // That one is told of as the tenant's own with a schema before it.
  return isOneTenants(outside.split('.'), context) ? undefined : outside
}

/** Whether a name with a schema would be each tenant's own without it. */
function isOneTenants(parts: readonly string[], { set, made }: LintContext): boolean {
  const [schema = '', ...rest] = parts
  if (rest.length === 0 || COMMON_SCHEMA.test(schema)) return false
  if (TENANT_SCHEMA.test(schema)) return true
  const name = rest.join('.')
  return set === 'tenant' && isKnown(made.tenant, name) && !isKnown(made.shared, name)
}

/** Lists of columns that the statement makes unique. */
function uniqueColumns({ node, fields }: LintedStatement): readonly (readonly string[])[] {
  if (node === 'IndexStmt') {
    if (fields['unique'] !== true) return []
    return [
      listOf(fields['indexParams']).map(
        (each) => textOf(fieldsOf(each, 'IndexElem')?.['name']) || 'an expression',
      ),
    ]
  }
  if (node !== 'CreateStmt' && node !== 'AlterTableStmt') return []
  const unique = ({ contype }: Fields): boolean => contype === 'CONSTR_UNIQUE' || contype === 'CONSTR_PRIMARY'
  const columns = findNodes(fields, 'ColumnDef').flatMap(({ colname, constraints }) =>
    listOf(constraints).some((each) => unique(fieldsOf(each, 'Constraint') ?? {})) ? [[textOf(colname)]] : [],
  )
  const tables = findNodes(fields, 'Constraint')
    .filter((each) => unique(each) && each['keys'] !== undefined)
    .map(({ keys }) => nameParts(keys))
  return [...columns, ...tables]
}

/** Numbers that a sequence gives, and uuids, say nothing of another tenant's values. */
function isRandom(type: string | undefined): boolean {
  return /^(uuid|bigint|integer|smallint|(big|small)?serial\d?)$/.test(type ?? '')
}
