/** Finds what a statement changes outside of the schema that a migration runs in. */
import { type Fields, fieldsOf, findNodes, listOf, nameParts, textOf } from './sql-nodes.ts'

/** The first name of another schema that the statement changes; what it only reads or refers to is no matter. */
export function findNameOutside(node: string, fields: Fields): string | undefined {
  const relations = [
    fields['relation'],
    fields['view'],
    fields['sequence'],
    fields['table'],
    fields['typevar'],
  ]
  if (node === 'TruncateStmt') relations.push(...listOf(fields['relations']).map((item) => item['RangeVar']))
  for (const writer of ['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']) {
    relations.push(...findNodes({ [node]: fields }, writer).map(({ relation }) => relation))
  }
  for (const relation of relations) {
    if (typeof relation !== 'object' || relation === null) continue
    const schema: unknown = Reflect.get(relation, 'schemaname')
    if (typeof schema === 'string') return `${schema}.${textOf(Reflect.get(relation, 'relname'))}`
  }
  return namedObjects(node, fields)
    .find((parts) => parts.length > 1)
    ?.join('.')
}

/** Names of functions, types and the like that a statement makes, changes or drops, without the table they are on. */
function namedObjects(node: string, fields: Fields): readonly (readonly string[])[] {
  if (node === 'CreateFunctionStmt') return [nameParts(fields['funcname'])]
  if (node === 'CreateDomainStmt') return [nameParts(fields['domainname'])]
  if (node === 'CreateStatsStmt' || node === 'DefineStmt') return [nameParts(fields['defnames'])]
  if (node === 'AlterFunctionStmt') return [nameParts(fieldsOf(fields, 'func')?.['objname'])]
  if (/^(CreateEnum|AlterEnum|CreateRange|AlterDomain|AlterType)Stmt$/.test(node)) {
    return [nameParts(fields['typeName'])]
  }
  if (!/^(Drop|Rename|Comment)Stmt$/.test(node)) return []
  const kind = textOf(fields['removeType'] ?? fields['renameType'] ?? fields['objtype'])
  const onTable = /_(COLUMN|TRIGGER|POLICY|TABCONSTRAINT)$/.test(kind)
  return [
    ...listOf(fields['objects']),
    ...(fields['object'] === undefined ? [] : [fields['object'] as Fields]),
  ].map((object) => {
    const parts = nameParts(
      fieldsOf(object, 'List')?.['items'] ??
        fieldsOf(object, 'ObjectWithArgs')?.['objname'] ??
        fieldsOf(object, 'TypeName')?.['names'],
    )
    return onTable ? parts.slice(0, -1) : parts
  })
}
