/** Names that a statement writes with a schema before them, wherever in it they stand. */
import { findNameOutside } from '../shared-form/names-outside.ts'
import { type Fields, fieldsOf, findNodes, listOf, nameParts, textOf } from '../shared-form/sql-nodes.ts'
import { treesInside } from './code-inside.ts'
import type { LintedStatement } from './migration-rule.ts'

/** How Tenantry calls the schemas of tenants, and the two of those that share tables. */
export const TENANT_SCHEMA = /^tenant_/

/** Every name with a schema: of tables, functions and types, in sequences' texts, also in bodies. */
export function qualifiedNames(statement: LintedStatement): readonly (readonly string[])[] {
  const tree = [{ [statement.node]: statement.fields }, ...treesInside(statement)]
  const relations = ['RangeVar', 'relation', 'pktable', 'view', 'sequence', 'rel', 'typevar'].flatMap(
    (name) => findNodes(tree, name),
  )
  const lists = [
    ...findNodes(tree, 'FuncCall').map(({ funcname }) => funcname),
    ...[...findNodes(tree, 'TypeName'), ...findNodes(tree, 'typeName'), ...findNodes(tree, 'returnType')].map(
      ({ names }) => names,
    ),
    statement.fields['funcname'],
    statement.fields['typeName'],
    statement.fields['defnames'],
  ]
  return [
    ...relations.map(({ schemaname, relname }) =>
      [textOf(schemaname), textOf(relname)].filter((part) => part !== ''),
    ),
    ...lists.map(nameParts),
    ...textNames(tree),
    ...searchPaths(tree),
    findNameOutside(statement.node, statement.fields)?.split('.') ?? [],
  ].filter((parts) => parts.length > 1)
}

/** `nextval('acme.orders_id_seq')`, `'acme.orders'::regclass`. */
function textNames(tree: unknown): readonly (readonly string[])[] {
  const calls = findNodes(tree, 'FuncCall').filter(({ funcname }) =>
    /^(nextval|setval|currval|to_regclass)$/.test(nameParts(funcname).at(-1) ?? ''),
  )
  const casts = findNodes(tree, 'TypeCast').filter(({ typeName }) =>
    nameParts((typeName as Fields | undefined)?.['names'])
      .at(-1)
      ?.startsWith('reg'),
  )
  return [...calls.map(({ args }) => listOf(args)[0]), ...casts.map(({ arg }) => arg)].flatMap((value) =>
    findNodes(value, 'A_Const').map((each) =>
      textOf(fieldsOf(each, 'sval')?.['sval']).replaceAll('"', '').split('.'),
    ),
  )
}

/** A function that is set to one tenant's path. */
function searchPaths(tree: unknown): readonly (readonly string[])[] {
  return [...findNodes(tree, 'VariableSetStmt')]
    .filter(({ name }) => name === 'search_path')
    .flatMap(({ args }) => findNodes(args, 'A_Const'))
    .map((each) => [textOf(fieldsOf(each, 'sval')?.['sval']), '*'])
    .filter(([schema = '']) => TENANT_SCHEMA.test(schema))
}
