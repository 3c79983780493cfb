/** Reads what schemas hold, or only their fingerprints, from the catalogs. */
import type { Queryable } from '../core/database.ts'
import type { SchemaDescription, SchemaObject } from './description.ts'
import { ASKED, FROM_INSIDE, MEMBERS, type ReadOptions } from './read/members.ts'
import { NEEDS } from './read/needs.ts'
import { OBJECTS } from './read/object-facts.ts'

/** One line an object: kind, name and facts between separators that no name holds. */
const TEXT = `string_agg(o.kind || chr(31) || o.name || chr(31) || o.facts, chr(30) order by o.kind collate "C", o.name collate "C")`
const FINGERPRINT = `encode(sha256(convert_to(coalesce(${TEXT}, ''), 'UTF8')), 'hex')`

function ask(result: string): string {
  return `select case when s.oid is not null then case when ${FROM_INSIDE} is not null then (with ${MEMBERS},
    object as materialized (${OBJECTS}) select ${result} from object o) end end as found from ${ASKED} order by s.position`
}

/** CASE is what makes PostgreSQL set the path first: see the manual, 4.2.14 Expression Evaluation Rules. */
const DESCRIBE = ask(`json_build_object('fingerprint', ${FINGERPRINT}, 'needs', ${NEEDS},
  'foreignKeys', (select coalesce(json_agg(k.tab || '.' || k.ident order by k.oid), '[]') from con k where k.contype = 'f'),
  'objects', coalesce(json_agg(json_build_object('kind', o.kind, 'name', o.name, 'facts', o.facts)
    order by o.kind collate "C", o.name collate "C"), '[]'))::text`)
const FINGERPRINTS = ask(FINGERPRINT)

/**
 * The statement binds roles itself, which owners may not. Plans are made for one schema: what the planner thinks of so many
 * subqueries would have it compile them all.
 */
const PREPARE = 'set local role none; set local jit = off; set local quote_all_identifiers = off'

function valuesOf(schemas: readonly string[], options: ReadOptions): unknown[] {
  const group = options.rightsNotOf
  return [schemas, options.without ?? [], group === undefined ? null : group]
}

/**
 * Reads one schema, in two round trips.
 * @param tx a transaction; its role and search_path are others afterwards.
 * @throws Error where there is no such schema.
 * @example
 * const description = await readSchema(tx, 'tenant_acme', { without: ['pgmigrations'] })
 */
export async function readSchema(
  tx: Queryable,
  schema: string,
  options: ReadOptions = {},
): Promise<SchemaDescription> {
  await tx.query(PREPARE)
  const { rows } = await tx.query<{ found: string | null }>(DESCRIBE, valuesOf([schema], options))
  const found = rows[0]?.found
  if (found === null || found === undefined) throw new Error(`there is no schema ${schema}`)
  const described = JSON.parse(found) as Omit<SchemaDescription, 'unsupported'>
  const unsupported = described.objects.filter(isUnsupported).map(({ name }) => name)
  return { ...described, unsupported }
}

function isUnsupported({ kind }: SchemaObject): boolean {
  return kind === 'unsupported'
}

/**
 * Fingerprints of many schemas, in two round trips; `undefined` for one that there is not. A server process keeps what
 * it read of each schema in its memory: give it some hundreds, then take another connection.
 * @param tx a transaction; its role and search_path are others afterwards.
 */
export async function readFingerprints(
  tx: Queryable,
  schemas: readonly string[],
  options: ReadOptions = {},
): Promise<(string | undefined)[]> {
  await tx.query(PREPARE)
  const { rows } = await tx.query<{ found: string | null }>(FINGERPRINTS, valuesOf(schemas, options))
  return rows.map(({ found }) => found ?? undefined)
}
