/** Clauses that objects of several kinds have: storage options, comments, rights. */
import { quoteLiteral } from '../../sql/quote.ts'
import { type Grant, idOf, type SchemaObject } from '../description.ts'

/** `fillfactor=70` as the catalogs keep it, as SQL takes it. */
export function optionList(options: readonly string[], prefix = ''): string {
  return options
    .map((option) => {
      const at = option.indexOf('=')
      return `${prefix}${option.slice(0, at)} = ${quoteLiteral(option.slice(at + 1))}`
    })
    .join(', ')
}

/** ` with (…)`, or nothing. */
export function withOptions(options: readonly string[] | undefined): string {
  return options === undefined ? '' : ` with (${optionList(options)})`
}

/** What COMMENT, DROP and ALTER call an object. */
export function addressOf(object: SchemaObject): string {
  switch (object.kind) {
    case 'constraint':
      return `constraint ${object.facts.constraint} on ${object.facts.table}`
    case 'trigger':
    case 'rule':
      return `${object.kind} ${object.facts.trigger} on ${object.facts.table}`
    case 'policy':
      return `policy ${object.facts.policy} on ${object.facts.table}`
    case 'type':
      return `${object.facts.how === 'domain' ? 'domain' : 'type'} ${object.name}`
    case 'operator':
      return `operator ${object.name.replace('(', ' (').replaceAll(/\bNONE\b/g, 'none')}`
    default:
      return idOf(object)
  }
}

/** What follows when the object is there: its comment and its columns'. */
export function commentsOf(object: SchemaObject): string[] {
  const own = comment(addressOf(object), object.facts.comment)
  if (object.kind === 'type') {
    return [
      ...own,
      ...(object.facts.attributes ?? []).flatMap((each) =>
        comment(`column ${object.name}.${each.name}`, each.comment),
      ),
    ]
  }
  if (object.kind !== 'table' && object.kind !== 'view' && object.kind !== 'materialized view') return own
  const columns = object.facts.columns.flatMap((each) =>
    comment(`column ${object.name}.${each.name}`, each.comment),
  )
  return [...own, ...columns]
}

export function comment(address: string, text: string | undefined): string[] {
  return text === undefined ? [] : [`comment on ${address} is ${quoteLiteral(text)}`]
}

/** What GRANT calls an object; undefined for kinds that have no rights of their own. */
function grantee(object: SchemaObject): string | undefined {
  switch (object.kind) {
    case 'table':
    case 'view':
    case 'materialized view':
      return `table ${object.name}`
    case 'sequence':
    case 'routine':
      return idOf(object)
    case 'type':
      return `type ${object.name}`
    default:
      return undefined
  }
}

/** Rights that PUBLIC has on an object as it is born. */
export function bornPublic(object: SchemaObject): boolean {
  return object.kind === 'routine' || object.kind === 'type'
}

/** The rights of an object that was just made, and its columns'. */
export function grantsOf(object: SchemaObject): string[] {
  const on = grantee(object)
  if (on === undefined || !('grants' in object.facts || 'columns' in object.facts)) return []
  const statements = grant(object.facts.grants ?? [], on)
  if (
    bornPublic(object) &&
    object.facts.grants !== undefined &&
    !object.facts.grants.some(({ to }) => to === 'public')
  ) {
    statements.unshift(`revoke all on ${on} from public`)
  }
  if (!('columns' in object.facts)) return statements
  const columns = object.facts.columns.flatMap(({ name, grants = [] }) =>
    grant(grants, `table ${object.name}`, name),
  )
  return [...statements, ...columns]
}

function grant(grants: readonly Grant[], on: string, column?: string): string[] {
  return grants.map(({ to, rights, grantable }) => {
    const what = rights.map((right) => (column === undefined ? right : `${right} (${column})`)).join(', ')
    return `grant ${what} on ${on} to ${to}${grantable === true ? ' with grant option' : ''}`
  })
}
