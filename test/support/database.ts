/** A database of its own for each test file, cloned from the prepared one in some 50 ms. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { serverOf, type ServerVersion } from './versions.ts'

/** URLs of one test database, one for each login. */
export interface TestDatabase {
  readonly name: string
  /** Of its server. */
  readonly version: ServerVersion
  readonly superuserUrl: string
  readonly adminUrl: string
  readonly appUrl: string
  /** Statements as the superuser, for what the tests look at or break on purpose. */
  sql<R extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>
  drop(): Promise<void>
}

export interface TestDatabaseOptions {
  /** With logins, hardening and catalog (default), or an empty database. */
  readonly installed?: boolean
  /** The version of the server; 18 by default. The first database of an older one waits for that server's start. */
  readonly version?: ServerVersion | undefined
}

/** Makes one. Call `drop` in afterAll; sessions that are still there are ended. */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const { superuserUrl, template, passwords, version } = await serverOf(options.version)
  const name = `test_${randomBytes(6).toString('hex')}`
  const source = options.installed === false ? 'template1' : template
  await once(superuserUrl, async (client) => {
    await client.query(`create database ${name} template ${source} owner tenantry_admin`)
    // Rights on the database itself are not cloned.
    if (source === template) await client.query(`revoke temporary on database ${name} from public`)
  })
  const own = urlWith(superuserUrl, { pathname: `/${name}` })
  const pool = new pg.Pool({ connectionString: own, max: 2 })
  pool.on('error', () => undefined)
  return {
    name,
    version,
    superuserUrl: own,
    adminUrl: urlWith(own, { username: 'tenantry_admin', password: passwords.admin }),
    appUrl: urlWith(own, { username: 'tenantry_app', password: passwords.app }),
    sql: async <R extends pg.QueryResultRow>(text: string, values?: unknown[]) =>
      (await pool.query<R>(text, values)).rows,
    async drop() {
      await pool.end()
      await once(superuserUrl, async (client) => {
        for (const each of [...(await databasesOf(client, name)), name]) {
          await client.query(`drop database if exists "${each}" with (force)`)
        }
      })
    },
  }
}

/** Databases of tenants, and the template of these, that the catalog in this one has made: their comments name it. */
async function databasesOf(client: pg.Client, name: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string; template: boolean }>(
    `select datname as name, datistemplate as template from pg_database
     where shobj_description(oid, 'pg_database') like 'tenantry: % in ' || $1`,
    [name],
  )
  for (const each of rows) {
    if (each.template) await client.query(`alter database "${each.name}" is_template false`)
  }
  return rows.map((each) => each.name)
}

function urlWith(url: string, parts: Partial<Pick<URL, 'pathname' | 'username' | 'password'>>): string {
  return Object.assign(new URL(url), parts).href
}

async function once(url: string, fn: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    await fn(client)
  } finally {
    await client.end()
  }
}
