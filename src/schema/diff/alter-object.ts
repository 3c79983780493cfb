/** Brings objects to what they are to be where they can stay, so that nothing that stands on them has to go. */
import { quoteLiteral } from '../../sql/quote.ts'
import type { Grant, ObjectOf, SchemaObject } from '../description.ts'
import { addressOf, bornPublic, grantsOf } from '../render/common-clauses.ts'
import { enableStatement, renderObject } from '../render/render-object.ts'
import { sequenceOptions } from '../render/render-sequence.ts'
import { same } from './find-differences.ts'

/**
 * The statements, without those for comments and rights.
 * @returns undefined where it has to be made anew.
 */
export function alterObject(is: SchemaObject, wants: SchemaObject): string[] | undefined {
  if (same(bareFacts(is), bareFacts(wants))) return []
  if (is.kind === 'sequence' && wants.kind === 'sequence') return alterSequence(is, wants)
  if (is.kind === 'type' && wants.kind === 'type') return alterType(is, wants)
  if (is.kind === 'routine' && wants.kind === 'routine') {
    // With another heading it would be another function, or refused.
    return heading(is) !== undefined && heading(is) === heading(wants) ? renderObject(wants) : undefined
  }
  if ((is.kind === 'trigger' && wants.kind === 'trigger') || (is.kind === 'rule' && wants.kind === 'rule')) {
    return same(bareFacts(is, true), bareFacts(wants, true)) ? [enableStatement(wants)] : undefined
  }
  return undefined
}

/** Facts that only the object's own statement can change. */
function bareFacts({ facts }: SchemaObject, withoutEnabled = false): unknown {
  const { columns, enabled, ...rest } = { ...facts, comment: undefined, grants: undefined } as Readonly<
    Record<string, unknown>
  >
  const bare = Array.isArray(columns)
    ? (columns as Readonly<Record<string, unknown>>[]).map((column) => ({
        ...column,
        comment: undefined,
        grants: undefined,
      }))
    : undefined
  return { ...rest, columns: bare, enabled: withoutEnabled ? undefined : enabled }
}

function heading({ facts }: ObjectOf<'routine'>): string | undefined {
  if (facts.how === 'aggregate') return undefined
  return facts.definition.slice(0, facts.definition.indexOf('\n LANGUAGE '))
}

function alterSequence(is: ObjectOf<'sequence'>, wants: ObjectOf<'sequence'>): string[] {
  const { name, facts } = wants
  const statements = [`alter sequence ${name} as ${facts.type} ${sequenceOptions(facts)}`]
  if (is.facts.persistence !== facts.persistence) {
    statements.push(`alter sequence ${name} set ${facts.persistence === 'u' ? 'unlogged' : 'logged'}`)
  }
  // The owner is said when its table is there.
  return statements
}

function alterType(is: ObjectOf<'type'>, wants: ObjectOf<'type'>): string[] | undefined {
  const { name, facts } = wants
  if (is.facts.how !== facts.how) return undefined
  if (facts.how === 'enum') return addLabels(name, is.facts.labels ?? [], facts.labels ?? [])
  if (facts.how !== 'domain' || is.facts.base !== facts.base || is.facts.collation !== facts.collation) {
    return undefined
  }
  const [mine, theirs] = [is.facts.constraints ?? [], facts.constraints ?? []]
  const alter = (change: string): string => `alter domain ${name} ${change}`
  return [
    ...mine
      .filter((each) => !theirs.some((other) => same(each, other)))
      .map((each) => alter(`drop constraint ${each.name}`)),
    ...theirs
      .filter((each) => !mine.some((other) => same(each, other)))
      .map((each) => alter(`add constraint ${each.name} ${each.definition}`)),
    ...(is.facts.default === facts.default
      ? []
      : [alter(facts.default === undefined ? 'drop default' : `set default ${facts.default}`)]),
    ...(is.facts.notNull === facts.notNull
      ? []
      : [alter(facts.notNull === true ? 'set not null' : 'drop not null')]),
  ]
}

/** Labels can be added anywhere, and never go. */
function addLabels(name: string, is: readonly string[], wants: readonly string[]): string[] | undefined {
  if (
    !same(
      is,
      wants.filter((label) => is.includes(label)),
    )
  )
    return undefined
  return wants.flatMap((label, at) => {
    if (is.includes(label)) return []
    const before = wants[at - 1]
    const place =
      before === undefined
        ? is[0] === undefined
          ? ''
          : ` before ${quoteLiteral(is[0])}`
        : ` after ${quoteLiteral(before)}`
    return [`alter type ${name} add value ${quoteLiteral(label)}${place}`]
  })
}

/** Comments, and rights of others, of an object that stays. */
export function alterMarks(is: SchemaObject, wants: SchemaObject): string[] {
  const statements: string[] = []
  if (is.facts.comment !== wants.facts.comment) {
    const text = wants.facts.comment === undefined ? 'null' : quoteLiteral(wants.facts.comment)
    statements.push(`comment on ${addressOf(wants)} is ${text}`)
  }
  const rights = ({ facts }: SchemaObject): unknown => [
    'grants' in facts ? facts.grants : undefined,
    'columns' in facts ? facts.columns.map(({ name, grants }) => [name, grants]) : undefined,
  ]
  if (!same(rights(is), rights(wants)))
    statements.push(...revokesOf(is), ...grantsOf(wants), ...bornRights(wants))
  return statements
}

function revokesOf(object: SchemaObject): string[] {
  const on =
    object.kind === 'sequence' || object.kind === 'routine' || object.kind === 'type' ? object.kind : 'table'
  const revoke = (grants: readonly Grant[], what: string): string[] =>
    grants.map(({ to }) => `revoke ${what} on ${on} ${object.name} from ${to} cascade`)
  const { facts } = object
  return [
    ...('grants' in facts ? revoke(facts.grants ?? [], 'all') : []),
    ...('columns' in facts
      ? facts.columns.flatMap(({ name, grants = [] }) => revoke(grants, `all (${name})`))
      : []),
  ]
}

/** Of an object that is to have the rights that it was born with. */
function bornRights(object: SchemaObject): string[] {
  if (!bornPublic(object) || ('grants' in object.facts && object.facts.grants !== undefined)) return []
  const [right, on] = object.kind === 'type' ? ['usage', 'type'] : ['execute', 'routine']
  return [`grant ${right} on ${on} ${object.name} to public`]
}
