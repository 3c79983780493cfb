/** Compiles migrations: replays them in a schema that nobody else sees, reads what they made, and proves the copy. */
import type { Queryable } from '../../core/database.ts'
import type { TenantRoles } from '../../isolation/tenant-roles.ts'
import type { ObjectOf, SchemaDescription } from '../../schema/description.ts'
import { readSchema } from '../../schema/read-schema.ts'
import { forSchema, insideSchema, renderObjects } from '../../schema/render-schema.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'
import type { Migration } from '../files/migration.ts'
import { type CarriedRows, PLAIN_TEXTS, readRows } from './carried-rows.ts'
import { replayMigrations, TENANT_SCHEMA, withScratch } from './scratch.ts'
import { doubtOfBody, doubtOfDefault, findDoubt } from './provable.ts'

/** What migrations amount to, as statements that make it; or why that cannot be said. */
export type Baseline =
  | {
      /** Run inside of the schema, as its owner, through `forSchema`. */
      readonly statements: readonly string[]
      readonly fingerprint: string
    }
  | { readonly refused: string }

/** What a replay of all migrations left. */
interface Replay {
  readonly description: SchemaDescription
  readonly rows: CarriedRows | undefined
  /** Tables of other schemas whose rows it changed. */
  readonly outside: readonly string[]
}

/**
 * Replays the migrations twice, at two moments and in schemas of two names, and makes what they made a third time from
 * its description. All of it is rolled back. References to tables outside lock these for as long.
 * @param session one connection, outside a transaction.
 * @param roles a tenant's: what is made belongs to them for the time.
 */
export async function buildBaseline(
  session: Queryable,
  migrations: readonly Migration[],
  roles: TenantRoles,
  lockTimeoutMs: number,
): Promise<Baseline> {
  const doubt = findDoubt(migrations)
  if (doubt !== undefined) return { refused: doubt }
  const once = (fn: (tx: Queryable, schema: string) => Promise<void>): Promise<Replay> =>
    withScratch(session, roles, lockTimeoutMs, (schema) => replayIn(session, schema, roles, fn))
  const replay = (tx: Queryable, schema: string): Promise<void> =>
    replayMigrations(tx, { schema, ownerRole: roles.ownerRole, lockTimeoutMs }, migrations)
  const first = await once(replay)
  const refused = doubtOfReplay(first)
  if (refused !== undefined) return { refused }
  const second = await once(replay)
  if (second.description.fingerprint !== first.description.fingerprint) {
    return {
      refused: `what they make depends on the schema's name or on the time: ${differing(first, second)}`,
    }
  }
  if (!sameRows(first, second))
    return { refused: 'the rows that they write depend on the schema or on the time' }
  const statements = compose(first)
  const copy = await once(async (tx, schema) => {
    await tx.query(statements.map((statement) => forSchema(statement, schema)).join(';\n'))
  })
  if (copy.description.fingerprint !== first.description.fingerprint) {
    return {
      refused: `what they make reads otherwise when it is made from its description: ${differing(first, copy)}`,
    }
  }
  if (!sameRows(first, copy))
    return { refused: 'the rows that they write read otherwise when they are copied' }
  return { statements, fingerprint: first.description.fingerprint }
}

async function replayIn(
  tx: Queryable,
  schema: string,
  { ownerRole }: TenantRoles,
  fill: (tx: Queryable, schema: string) => Promise<void>,
): Promise<Replay> {
  const before = await countOutside(tx, schema)
  const inside = `set local role ${quoteIdent(ownerRole)}; ${insideSchema(schema)}`
  await tx.query(inside)
  await fill(tx, schema)
  const after = await countOutside(tx, schema)
  const outside = [...after].flatMap(([table, count]) => (count === before.get(table) ? [] : [table]))
  const description = await readSchema(tx, schema, TENANT_SCHEMA)
  // Rows that policies hide are an error from here on, and no rows that are missing.
  await tx.query(`${inside}; ${PLAIN_TEXTS}; set local row_security = off`)
  return { description, rows: await readRows(tx, description), outside }
}

/**
 * How many rows of tables outside were changed, as the server counts them, whoever did it: a statement, a trigger or a
 * function. What the session did before is among them.
 */
async function countOutside(tx: Queryable, schema: string): Promise<ReadonlyMap<string, number>> {
  const { rows } = await tx.query<{ tables: string }>(
    `select coalesce(json_object_agg(format('%I.%I', schemaname, relname), n_tup_ins + n_tup_upd + n_tup_del), '{}')::text
       as tables from pg_stat_xact_user_tables where schemaname <> ${quoteLiteral(schema)} and n_tup_ins + n_tup_upd + n_tup_del > 0`,
  )
  return new Map(Object.entries(JSON.parse(rows[0]?.tables ?? '{}') as Record<string, number>))
}

function doubtOfReplay({ description, rows, outside }: Replay): string | undefined {
  const [unknown] = description.unsupported
  if (unknown !== undefined) return `${unknown} cannot be written as SQL`
  if (outside[0] !== undefined) return `they change rows of ${outside.join(', ')}`
  if (rows === undefined) return 'they write too many rows'
  if (rows.tables.length === 0) return undefined
  const { objects } = description
  const body = objects.find((object) => object.kind === 'routine' && doubtOfBody(object.facts.definition))
  if (body !== undefined) return `they write rows, and ${body.name} may write others at another time`
  const column = objects
    .filter(
      (object): object is ObjectOf<'table'> => object.kind === 'table' && rows.tables.includes(object.name),
    )
    .flatMap(({ name, facts }) =>
      facts.columns
        .filter((each) => doubtOfDefault(each.default ?? each.generated?.as ?? '', each.type))
        .map((each) => `${name}.${each.name}`),
    )[0]
  return column === undefined
    ? undefined
    : `they write rows, and the default of ${column} is another at another time`
}

function sameRows({ rows: one }: Replay, { rows: other }: Replay): boolean {
  return one !== undefined && JSON.stringify(one) === JSON.stringify(other)
}

/** The first object that two replays do not have in common. */
function differing({ description: one }: Replay, { description: other }: Replay): string {
  const there = new Set(other.objects.map((object) => JSON.stringify(object)))
  const object = one.objects.find((each) => !there.has(JSON.stringify(each))) ?? other.objects[0]
  return object === undefined ? 'one of them is empty' : `${object.kind} ${object.name}`
}

/** Rows come when the tables are there, before keys between them and before triggers. */
function compose({ description, rows }: Replay): string[] {
  const objects = renderObjects(description)
  const filled =
    rows?.inserts.length === 0 ? 0 : objects.findLastIndex(({ object }) => object?.kind === 'table') + 1
  return [
    ...objects.slice(0, filled).flatMap(({ statements }) => statements),
    ...(rows === undefined || rows.inserts.length === 0 ? [] : [PLAIN_TEXTS, ...rows.inserts]),
    ...objects.slice(filled).flatMap(({ statements }) => statements),
    ...(rows?.positions === undefined ? [] : [rows.positions]),
  ]
}
