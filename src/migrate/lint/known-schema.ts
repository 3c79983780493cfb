/** What migrations say of a schema, statement by statement: tables, types and functions, as far as rules ask for them. */
import { type Fields, fieldsOf, listOf, nameParts, textOf } from '../shared-form/sql-nodes.ts'

/** A constraint of a table. */
export interface KnownConstraint {
  readonly name: string
  /** The grammar's name: `CONSTR_CHECK`. */
  readonly kind: string
  readonly columns: readonly string[]
  /** The table that a foreign key points to. */
  readonly references?: string | undefined
  /** Columns of which it says that they are not null. */
  readonly notNull: readonly string[]
  readonly valid: boolean
}

/** A table, view or materialized view that a migration made. */
export interface KnownRelation {
  readonly kind: 'table' | 'view' | 'matview'
  /** Which migration, counted from 0. */
  readonly madeBy: number
  /** Types of its columns. */
  readonly columns: Map<string, string>
  constraints: readonly KnownConstraint[]
}

/** Everything that is known. Names are as migrations write them; `public.` is left out where that is the own schema. */
export interface KnownSchema {
  /** Of a migration that is looked at: names with this schema are its own. */
  readonly own: string | undefined
  readonly relations: Map<string, KnownRelation>
  /** The table of each index and of each object of statistics. */
  readonly tableOf: Map<string, string>
  readonly types: Map<
    string,
    { readonly kind: 'enum' | 'domain' | 'other'; readonly checked: boolean; readonly madeBy: number }
  >
  readonly functions: Map<string, { readonly volatile: boolean }>
  readonly sequences: Set<string>
}

/** Nothing is known yet. @param own the schema whose name means the same as none: `public`, of the shared set. */
export function createKnownSchema(own?: string): KnownSchema {
  return {
    own,
    relations: new Map(),
    tableOf: new Map(),
    types: new Map(),
    functions: new Map(),
    sequences: new Set(),
  }
}

/** Whether anything of this name was made, whatever it is. */
export function isKnown(known: KnownSchema, name: string): boolean {
  const { relations, types, functions, sequences, tableOf } = known
  return [relations, types, functions, sequences, tableOf].some((names) => names.has(name))
}

/** The name of a node `RangeVar`: `orders`, or `public.plans`. */
export function relationName(known: Pick<KnownSchema, 'own'>, relation: unknown): string {
  if (typeof relation !== 'object' || relation === null) return ''
  return ownName(known, [
    textOf(Reflect.get(relation, 'schemaname')),
    textOf(Reflect.get(relation, 'relname')),
  ])
}

/** A name in parts, without the schema that is the own one. */
export function ownName({ own }: Pick<KnownSchema, 'own'>, parts: readonly string[]): string {
  const named = parts.filter((part) => part !== '')
  return (named.length > 1 && named[0] === own ? named.slice(1) : named).join('.')
}

/** What a DROP names, in its own words. */
export function droppedNames(known: Pick<KnownSchema, 'own'>, fields: Fields): readonly string[] {
  return listOf(fields['objects']).map((object) =>
    ownName(known, nameParts(fieldsOf(object, 'List')?.['items'] ?? fieldsOf(object, 'TypeName')?.['names'])),
  )
}
