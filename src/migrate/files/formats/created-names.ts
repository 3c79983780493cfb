/** Finds what a migration creates in the schema that it runs in. */
import {
  fieldsOf,
  findNodes,
  listOf,
  nameParts,
  type SqlStatement,
  textOf,
  type Fields,
} from '../../shared-form/sql-nodes.ts'

/** The names of all that these statements create or rename, without a schema or in `public`. */
export function createdNames(statements: readonly SqlStatement[]): readonly string[] {
  return statements.flatMap(({ node, fields }) => {
    if (node === 'DoStmt') return namesInBody(JSON.stringify(fields))
    const names = [...ownNames(node, fields)]
    if (/^(CreateStmt|AlterTableStmt)$/.test(node)) {
      for (const { conname } of findNodes(fields, 'Constraint')) names.push(textOf(conname))
      const table = textOf(fieldsOf(fields, 'relation')?.['relname'])
      // Of serial and identity columns, whose sequences are named for them.
      for (const { colname } of findNodes(fields, 'ColumnDef')) names.push(`${table}_${textOf(colname)}_seq`)
      if (node === 'CreateStmt') names.push(`${table}_pkey`)
    }
    return names.filter((name) => name !== '')
  })
}

function ownNames(node: string, fields: Fields): readonly string[] {
  switch (node) {
    case 'CreateStmt':
      return nameOf(fieldsOf(fields, 'relation'))
    case 'CreateForeignTableStmt':
      return nameOf(fieldsOf(fieldsOf(fields, 'base'), 'relation'))
    case 'ViewStmt':
      return nameOf(fieldsOf(fields, 'view'))
    case 'CreateTableAsStmt':
      return nameOf(fieldsOf(fieldsOf(fields, 'into'), 'rel'))
    case 'CreateSeqStmt':
      return nameOf(fieldsOf(fields, 'sequence'))
    case 'CompositeTypeStmt':
      return nameOf(fieldsOf(fields, 'typevar'))
    case 'IndexStmt':
      return [textOf(fields['idxname'])]
    case 'RenameStmt':
      return [textOf(fields['newname'])]
    case 'CreateEnumStmt':
    case 'CreateRangeStmt':
      return lastOf(fields['typeName'])
    case 'CreateDomainStmt':
      return lastOf(fields['domainname'])
    case 'CreateFunctionStmt':
      return lastOf(fields['funcname'])
    case 'DefineStmt':
    case 'CreateStatsStmt':
      return lastOf(fields['defnames'])
    default:
      return []
  }
}

function nameOf(relation: Fields | undefined): string[] {
  const schema = textOf(relation?.['schemaname'])
  return schema === '' || schema === 'public' ? [textOf(relation?.['relname'])] : []
}

function lastOf(names: unknown): string[] {
  const parts = nameParts(listOf(names))
  return parts.length < 2 || parts[0] === 'public' ? parts.slice(-1) : []
}

/** Drizzle Kit used to create types inside of DO blocks, where no grammar of statements reads. */
function namesInBody(body: string): string[] {
  const created =
    /\bcreate\s+(?:table|type|sequence|view)\s+(?:if\s+not\s+exists\s+)?(?:\\"public\\"\.|public\.)?(?:\\"([^"\\]+)\\"|(\w+))/gi
  return [...body.matchAll(created)].map((match) => match[1] ?? (match[2] ?? '').toLowerCase())
}
