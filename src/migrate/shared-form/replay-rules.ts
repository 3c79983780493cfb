/** What each kind of statement means where tenants share tables: replayed once, run for each tenant, or refused. */
import { findNameOutside } from './names-outside.ts'
import { type Fields, fieldsOf, findNodes, listOf, nameParts, textOf } from './sql-nodes.ts'

/**
 * How a statement is repeated in the shared schema.
 * - `add`: once; it needs nothing that is derived.
 * - `change`: once, where the tables have their shared form: it may name a derived constraint or index.
 * - `view`: once, as the pattern's catalog tells it.
 * - `data`: once for each tenant, in its context.
 * - `skip`: not at all; its effect is the session's, or is derived from the pattern.
 */
export type Treatment = 'add' | 'change' | 'view' | 'data' | 'skip'

/** Why a statement cannot be repeated, and what to write instead. */
export interface Refusal {
  readonly reason: string
  readonly wayOut: string
}

const TREATMENTS: Readonly<Record<string, Treatment>> = {
  CreateStmt: 'add',
  CreateEnumStmt: 'add',
  AlterEnumStmt: 'add',
  CompositeTypeStmt: 'add',
  CreateDomainStmt: 'add',
  CreateRangeStmt: 'add',
  CreateSeqStmt: 'add',
  CreateFunctionStmt: 'add',
  AlterFunctionStmt: 'add',
  CreateTrigStmt: 'add',
  CreateStatsStmt: 'add',
  DefineStmt: 'add',
  CreateExtensionStmt: 'add',
  IndexStmt: 'add',
  AlterTableStmt: 'change',
  AlterDomainStmt: 'change',
  AlterTypeStmt: 'change',
  AlterSeqStmt: 'change',
  AlterStatsStmt: 'change',
  AlterObjectDependsStmt: 'change',
  AlterPolicyStmt: 'change',
  CreatePolicyStmt: 'change',
  CommentStmt: 'change',
  RenameStmt: 'change',
  DropStmt: 'change',
  // Empties the table for all tenants, which is what each of them would do.
  TruncateStmt: 'change',
  LockStmt: 'change',
  ConstraintsSetStmt: 'change',
  ReindexStmt: 'change',
  ClusterStmt: 'change',
  VacuumStmt: 'change',
  GrantStmt: 'change',
  ViewStmt: 'view',
  InsertStmt: 'data',
  UpdateStmt: 'data',
  DeleteStmt: 'data',
  MergeStmt: 'data',
  SelectStmt: 'data',
  CallStmt: 'data',
  VariableSetStmt: 'skip',
  VariableShowStmt: 'skip',
  NotifyStmt: 'skip',
}

/** Commands of ALTER TABLE that name nothing derived. */
const ADDING = new Set([
  'AT_AddColumn',
  'AT_AddConstraint',
  'AT_ColumnDefault',
  'AT_SetNotNull',
  'AT_DropNotNull',
  'AT_AddIdentity',
])

/** Kinds of objects that DROP and RENAME may name: what lives in the schema itself. */
const OWN_KINDS = new Set(
  (
    'TABLE VIEW INDEX SEQUENCE TYPE DOMAIN FUNCTION PROCEDURE ROUTINE AGGREGATE TRIGGER POLICY STATISTIC_EXT ' +
    'OPERATOR COLLATION COLUMN ATTRIBUTE TABCONSTRAINT DOMCONSTRAINT'
  )
    .split(' ')
    .map((kind) => `OBJECT_${kind}`),
)

const KEEP_OUT = 'or keep no tenants in the shared model'
const REFUSED: Readonly<Record<string, Refusal>> = {
  CreateTableAsStmt: {
    reason: 'CREATE TABLE AS writes rows that would belong to no tenant',
    wayOut: 'Write CREATE TABLE and then INSERT … SELECT',
  },
  RuleStmt: { reason: 'a rule rewrites statements around the policies', wayOut: 'Write a trigger' },
  CreateForeignTableStmt: {
    reason: 'a foreign table has no policies',
    wayOut: 'Create it in a shared migration',
  },
  CreateSchemaStmt: {
    reason: 'tenants of the shared model have one schema together',
    wayOut: 'Create the schema in a shared migration',
  },
  AlterDefaultPrivilegesStmt: {
    reason: 'rights on shared tables follow from their shared form',
    wayOut: 'Leave them out',
  },
  AlterOwnerStmt: { reason: 'shared objects keep the owner that they have', wayOut: 'Leave the owner out' },
  AlterObjectSchemaStmt: { reason: 'shared objects stay in the shared schema', wayOut: 'Rename it instead' },
  CopyStmt: { reason: 'COPY does not work under policies', wayOut: 'Write INSERT statements' },
}
const MATVIEW: Refusal = {
  reason: 'a materialized view holds the rows of all tenants and has no policies',
  wayOut: 'Write a view, or a table that a trigger keeps',
}
const EXCLUSION: Refusal = {
  reason: 'an exclusion constraint would hold across tenants',
  wayOut: 'Check it in a trigger, or write a unique constraint where it says the same',
}

/** What to do with a statement where tenants share tables. */
export function judgeStatement(node: string, fields: Fields): Treatment | Refusal {
  const refusal = refusalOf(node, fields) ?? REFUSED[node]
  if (refusal !== undefined) return refusal
  const treatment = TREATMENTS[node]
  if (treatment === undefined) {
    return {
      reason: `statements of this kind (${node}) are not known to mean the same for every tenant`,
      wayOut: 'Run it in a shared migration if it is not about the tables of tenants',
    }
  }
  if (node === 'IndexStmt' && fields['accessMethod'] === 'btree') return 'skip'
  if (node === 'AlterTableStmt' && listOf(fields['cmds']).every(isAdding)) return 'add'
  return treatment
}

/** A refusal's ways out, for the hint of TNY407. */
export function adviceOf({ wayOut }: Pick<Refusal, 'wayOut'>): string {
  return `${wayOut}, ${KEEP_OUT}.`
}

function isAdding(command: Fields): boolean {
  return ADDING.has(textOf(fieldsOf(command, 'AlterTableCmd')?.['subtype']))
}

function refusalOf(node: string, fields: Fields): Refusal | undefined {
  const kind = textOf(fields['objtype'] ?? fields['removeType'] ?? fields['renameType'])
  if (node === 'RefreshMatViewStmt' || kind === 'OBJECT_MATVIEW') return MATVIEW
  if (fields['intoClause'] !== undefined) return REFUSED['CreateTableAsStmt']
  if (/"relpersistence":"t"/.test(JSON.stringify([fields['relation'], fields['view'], fields['sequence']]))) {
    return {
      reason: 'a temporary table would hold rows of one tenant while the next one is migrated',
      wayOut: 'Write one statement with WITH … AS, or a DO block',
    }
  }
  const outside = findNameOutside(node, fields)
  if (outside !== undefined) {
    return {
      reason: `it changes ${outside}, which is outside of the tenant's schema`,
      wayOut:
        "Leave the schema out if the tenant's is meant, move the statement to a shared migration otherwise",
    }
  }
  switch (node) {
    case 'CreateStmt':
    case 'AlterTableStmt':
      return tableRefusal(fields)
    case 'GrantStmt':
      return fields['is_grant'] === true
        ? { reason: 'rights on shared tables follow from their shared form', wayOut: 'Leave the GRANT out' }
        : undefined
    case 'DropStmt':
    case 'RenameStmt':
      return OWN_KINDS.has(kind) ? policyRefusal(node, fields, kind) : foreignKind(node)
    case 'CreatePolicyStmt':
    case 'AlterPolicyStmt':
      return policyRefusal(node, fields, 'OBJECT_POLICY')
    case 'CreateFunctionStmt':
      return functionRefusal(fields)
    case 'MergeStmt':
      return mergeRefusal(fields)
    case 'VariableSetStmt':
      return /^(app\.current_tenant|tenantry\.)/i.test(textOf(fields['name']))
        ? { reason: "it sets the context, which is the migration's own", wayOut: 'Leave it out' }
        : undefined
    default:
      return undefined
  }
}

function tableRefusal(fields: Fields): Refusal | undefined {
  if (findNodes(fields, 'Constraint').some(({ contype }) => contype === 'CONSTR_EXCLUSION')) return EXCLUSION
  if (findNodes(fields, 'AlterTableCmd').some(({ subtype }) => subtype === 'AT_ChangeOwner')) {
    return REFUSED['AlterOwnerStmt']
  }
  return fields['objtype'] === 'OBJECT_FOREIGN_TABLE' ? REFUSED['CreateForeignTableStmt'] : undefined
}

function foreignKind(node: string): Refusal {
  return {
    reason: `${node === 'DropStmt' ? 'it drops' : 'it renames'} what does not belong to the tenant's schema`,
    wayOut: 'Move the statement to a shared migration',
  }
}

/** Policies are joined by OR: one that lets rows pass opens the table to every tenant, whatever ours say. */
function policyRefusal(node: string, fields: Fields, kind: string): Refusal | undefined {
  if (kind !== 'OBJECT_POLICY') return undefined
  if (node === 'CreatePolicyStmt' && fields['permissive'] === true) {
    return {
      reason: 'a permissive policy would show the rows of every tenant that it lets pass',
      wayOut: 'Write CREATE POLICY … AS RESTRICTIVE',
    }
  }
  const objects = listOf(fields['objects']).flatMap((object) =>
    nameParts(fieldsOf(object, 'List')?.['items']),
  )
  const names = [
    textOf(fields['policy_name']),
    textOf(fields['subname']),
    textOf(fields['newname']),
    ...objects,
  ]
  return names.some((name) => name.startsWith('tenantry_'))
    ? { reason: 'policies named tenantry_… keep tenants apart', wayOut: 'Choose another name' }
    : undefined
}

/** The gateway completes ON CONFLICT in what it sends; inside a function it cannot. */
function functionRefusal(fields: Fields): Refusal | undefined {
  const inside = findNodes(fields['sql_body'], 'infer').some(({ indexElems }) => indexElems !== undefined)
  const body = nameParts(
    fieldsOf(
      findNodes(fields['options'], 'DefElem').find(({ defname }) => defname === 'as')?.['arg'],
      'List',
    )?.['items'],
  )
  const text = (body[0] ?? '').replaceAll(/--[^\n]*|\/\*[\s\S]*?\*\//g, ' ')
  if (!inside && !/\bon\s+conflict\s*\(/i.test(text)) return undefined
  return {
    reason: 'in shared tables the columns of ON CONFLICT in a function match no unique constraint',
    wayOut: 'Write ON CONFLICT ON CONSTRAINT with the name of the constraint',
  }
}

function mergeRefusal(fields: Fields): Refusal | undefined {
  const positional = findNodes(fields['mergeWhenClauses'], 'MergeWhenClause').some(
    ({ commandType, values, targetList }) =>
      commandType === 'CMD_INSERT' && values !== undefined && targetList === undefined,
  )
  return positional
    ? {
        reason: 'INSERT without columns counts them differently in shared tables',
        wayOut: 'Name the columns',
      }
    : undefined
}
