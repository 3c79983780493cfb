/** Every lock and every rewrite that the lint tells of is what PostgreSQL does, on the oldest and the newest version. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createKnownSchema, type KnownSchema } from '../../../src/migrate/lint/known-schema.ts'
import { learn } from '../../../src/migrate/lint/learn-statement.ts'
import {
  type LockMode,
  longerWork,
  strongerMode,
  type TableLock,
} from '../../../src/migrate/lint/locks/lock-mode.ts'
import { locksOf } from '../../../src/migrate/lint/locks/statement-locks.ts'
import { splitStatements } from '../../../src/migrate/shared-form/sql-nodes.ts'
import { loadParser } from '../../../src/sql/statement.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { isInstalled } from '../../support/server-versions.ts'
import { waitFor } from '../../support/wait-for.ts'
import { ALONE, FORMS, NEWER_FORMS, NEWER_WORLD, WORLD } from './lock-world.ts'

beforeAll(loadParser)

/** What `pg_locks` and the server's own messages say of one statement. */
interface Seen {
  readonly modes: ReadonlyMap<string, string>
  readonly work: 'brief' | 'scan' | 'index' | 'rewrite'
}

describe.each([15, 18] as const)('PostgreSQL %i', (version) => {
  describe.skipIf(!isInstalled(version))('as seen in pg_locks', () => {
    let db: TestDatabase
    let client: pg.Client
    let notices: string[] = []
    beforeAll(async () => {
      db = await createTestDatabase({ installed: false, version })
      client = await connect()
      await client.query(WORLD)
      if (version >= 18) await client.query(NEWER_WORLD)
      // With UTC a timestamp is the same on disk, with a zone or without.
      await client.query("set timezone = 'Asia/Tokyo'")
    })
    afterAll(async () => {
      await client.end()
      await db.drop()
    })

    async function connect(): Promise<pg.Client> {
      const made = new pg.Client(db.superuserUrl)
      made.on('error', () => undefined)
      made.on('notice', ({ message }) => void notices.push(message ?? ''))
      await made.connect()
      return made
    }

    const forms = [...FORMS, ...NEWER_FORMS.filter(({ since }) => version >= since).map(({ sql }) => sql)]
    test.for(forms)('%s', async (sql) => {
      const seen = await watch(sql)
      const told = tell(sql, version)
      compare(sql, told, seen)
    })

    test.for(ALONE)('%s (the first lock that it waits for)', async (sql) => {
      const [blocker, other] = [await connect(), await connect()]
      try {
        const [first] = tell(sql, version)
        await blocker.query(`begin; lock table ${first?.table ?? ''} in share update exclusive mode`)
        const { rows } = await other.query<{ pid: number }>('select pg_backend_pid() as pid')
        const ended = other.query(sql).catch(() => undefined)
        const mode = await waitedFor(blocker, rows[0]?.pid ?? 0)
        await blocker.query('select pg_terminate_backend($1)', [rows[0]?.pid])
        await ended
        expect(mode).toBe(first?.mode)
      } finally {
        await blocker.query('rollback')
        await Promise.all([blocker.end(), other.end().catch(() => undefined)])
      }
    })

    async function watch(sql: string): Promise<Seen> {
      await client.query('begin')
      try {
        const before = await files(client)
        const names = await relations(client)
        notices = []
        await client.query("set local client_min_messages = 'debug1'")
        await client.query(sql)
        await client.query('set local client_min_messages = notice')
        const after = await files(client)
        const rewritten = [...after].some(([oid, file]) => before.has(oid) && before.get(oid) !== file)
        const { rows } = await client.query<{ oid: string; mode: string }>(
          "select relation::text as oid, mode from pg_locks where pid = pg_backend_pid() and locktype = 'relation' and granted",
        )
        return { modes: strongest(names, rows), work: workSeen(rewritten, new Set(names.values())) }
      } finally {
        await client.query('rollback')
      }
    }

    /** An index of a table that the statement makes itself holds nobody up. */
    function workSeen(rewritten: boolean, tables: ReadonlySet<string>): Seen['work'] {
      const said = notices.join('\n')
      if (rewritten || said.includes('rewriting table')) return 'rewrite'
      const built = [...said.matchAll(/building index "[^"]+" on table "([^"]+)"/g)].map(
        ([, table = '']) => table,
      )
      if (built.some((table) => tables.has(table))) return 'index'
      return /verifying table|validating foreign key/.test(said) ? 'scan' : 'brief'
    }
  })
})

function tell(sql: string, version: number): readonly TableLock[] {
  const known: KnownSchema = createKnownSchema('public')
  for (const statement of splitStatements(version >= 18 ? WORLD + NEWER_WORLD : WORLD))
    learn(known, statement, 0)
  return splitStatements(sql).flatMap((statement) => locksOf(statement, known))
}

/**
 * Reading is told of where a statement says so; what else is only read, by a foreign key or a view, is no matter, nor are
 * partitions and children that follow their parent, and views that go with a table by CASCADE.
 */
function compare(sql: string, told: readonly TableLock[], seen: Seen): void {
  const said = Object.fromEntries(told.map(({ table, mode }) => [table, mode]))
  const held = [...seen.modes].filter(
    ([table, mode]) => said[table] !== undefined || (mode !== 'ACCESS SHARE' && !FOLLOWERS.has(table)),
  )
  expect(said).toEqual(Object.fromEntries(held))
  if (SILENT.test(sql)) return
  const work = told.map((each) => (each.work === 'rows' ? 'brief' : each.work)).reduce(longerWork, 'brief')
  // A note says what spares the work; the statement alone does not tell whether that is so here.
  const spared = told.some(({ note = '' }) => note.startsWith('unless'))
  expect(spared ? longerWork(work, seen.work) : work).toBe(spared ? work : seen.work)
}

const FOLLOWERS = new Set(['parted_low', 'heir', 'shown', 'kept'])
/** These read without a word, or put an empty file in the place of the old one. */
const SILENT = /^(alter domain|analyze|truncate|refresh .* no data)/

async function files(client: pg.Client): Promise<Map<string, string>> {
  const { rows } = await client.query<{ oid: string; file: string }>(
    `select oid::text, pg_relation_filenode(oid)::text as file from pg_class
     where relnamespace = 'public'::regnamespace and relkind in ('r', 'm')`,
  )
  return new Map(rows.map(({ oid, file }) => [oid, file]))
}

async function waitedFor(client: pg.Client, pid: number): Promise<string> {
  let mode: string | undefined
  await waitFor(async () => {
    const { rows } = await client.query<{ mode: string }>(
      "select mode from pg_locks where pid = $1 and locktype = 'relation' and not granted",
      [pid],
    )
    mode = rows[0]?.mode
    return mode !== undefined
  })
  return inWords(mode ?? '')
}

/** `ShareRowExclusiveLock`, as the manual writes it. */
function inWords(mode: string): LockMode {
  return mode
    .replace(/Lock$/, '')
    .replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ')
    .toUpperCase() as LockMode
}

/** What was there before the statement, by oid: what it makes itself is nobody else's yet. */
async function relations(client: pg.Client): Promise<Map<string, string>> {
  const { rows } = await client.query<{ oid: string; name: string }>(
    "select oid::text, relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'm', 'v')",
  )
  return new Map(rows.map(({ oid, name }) => [oid, name]))
}

function strongest(
  names: ReadonlyMap<string, string>,
  rows: readonly { readonly oid: string; readonly mode: string }[],
): Map<string, LockMode> {
  const modes = new Map<string, LockMode>()
  for (const { oid, mode } of rows) {
    const name = names.get(oid)
    if (name === undefined) continue
    modes.set(name, strongerMode(modes.get(name) ?? 'ACCESS SHARE', inWords(mode)))
  }
  return modes
}
