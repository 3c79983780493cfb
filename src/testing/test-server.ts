/** The server of test databases: that of TEST_DATABASE_URL, or the embedded one that all runs of this user share. */
import { createHmac } from 'node:crypto'
import { joinServer, keptFolder } from '../../dev/kept-server.ts'
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { createAdminDatabase } from '../gateway/admin-database.ts'
import { withLogin } from '../isolation/logins.ts'

/** Who works in the databases of tests, with secrets that every process derives alike. */
export interface TestLogins {
  readonly admin: string
  readonly app: string
  readonly adminPassword: string
  readonly appPassword: string
  /** What they end in. */
  readonly suffix: string
  /** Of sealed tenants. */
  readonly masterKey: string
}

/** A server, and one session in it: what that locks is free again as soon as this process is gone. */
export interface TestServer {
  readonly session: Queryable
  readonly logins: TestLogins
  /**
   * Of the names of templates and clones. Who comes by another URL has another one: locks are those of the database that
   * the URL names, so that nobody else can tell which clones are in use.
   */
  readonly prefix: string
  /** The owner's way into another database. */
  inDatabase(name: string): AdminDatabase
  urlOf(database: string, login?: 'admin' | 'app'): string
  close(): Promise<void>
}

/**
 * Connects.
 * @param url of a superuser, or of a login with CREATEDB and CREATEROLE; TEST_DATABASE_URL by default, else the embedded.
 * @throws TNY002, TNY019, TNY040, TNY202
 */
export async function openTestServer(url = process.env['TEST_DATABASE_URL'] ?? ''): Promise<TestServer> {
  if (url !== '' && !URL.canParse(url)) {
    throw new TenantryError('TNY002', {
      params: { reason: 'the server for tests (TEST_DATABASE_URL) is no URL' },
    })
  }
  const kept = url === '' ? await joinServer(keptFolder()) : undefined
  const ownerUrl = kept?.superuserUrl ?? url
  const owner = createAdminDatabase(ownerUrl, 2)
  const logins = loginsFor(ownerUrl)
  try {
    const { session, end } = await openSession(owner)
    return {
      session,
      logins,
      prefix: `tenantry_test_${logins.suffix}_`,
      inDatabase: (name) => createAdminDatabase(inDatabase(ownerUrl, name), 1),
      urlOf(database, login) {
        const there = inDatabase(ownerUrl, database)
        if (login === undefined) return there
        const password = login === 'admin' ? logins.adminPassword : logins.appPassword
        return withLogin(there, { name: logins[login], password })
      },
      async close() {
        await end()
        await owner.close()
        kept?.release()
      },
    }
  } catch (error) {
    await owner.close()
    kept?.release()
    throw error
  }
}

/** A session that lasts until it is ended, and not for a function alone. */
async function openSession(db: AdminDatabase): Promise<{ session: Queryable; end(): Promise<void> }> {
  const opened = Promise.withResolvers<Queryable>()
  const over = Promise.withResolvers<void>()
  const held = db.session((session) => {
    opened.resolve(session)
    return over.promise
  })
  held.catch(opened.reject)
  const session = await opened.promise
  return {
    session,
    async end() {
      over.resolve()
      await held.catch(() => undefined)
    },
  }
}

/** Logins belong to the server, where a developer's own may be: these have names and secrets of their own. */
function loginsFor(ownerUrl: string): TestLogins {
  const { username, password, pathname } = new URL(ownerUrl)
  const derive = (what: string): Buffer =>
    createHmac('sha256', `${username}:${password || (process.env['PGPASSWORD'] ?? '')}${pathname}`)
      .update(`tenantry testing ${what}`)
      .digest()
  const suffix = derive('names').toString('hex').slice(0, 8)
  return {
    suffix,
    admin: `tenantry_test_admin_${suffix}`,
    app: `tenantry_test_app_${suffix}`,
    adminPassword: derive('admin').toString('base64url'),
    appPassword: derive('app').toString('base64url'),
    masterKey: derive('master key').toString('base64url'),
  }
}

function inDatabase(url: string, database: string): string {
  const result = new URL(url)
  result.pathname = `/${encodeURIComponent(database)}`
  return result.href
}
