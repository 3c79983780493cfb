/** The embedded server made ready for a project: database `app`, both logins, hardening, catalog. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createControlPlane } from '../src/control-plane.ts'
import type { AdminDatabase } from '../src/core/database.ts'
import { createAdminDatabase } from '../src/gateway/admin-database.ts'
import { harden } from '../src/isolation/harden.ts'
import { newMasterKey } from '../src/isolation/master-key.ts'
import { createLogins, withLogin } from '../src/isolation/logins.ts'
import { quoteIdent } from '../src/sql/quote.ts'
import { sqlState } from '../src/sql/sql-state.ts'
import { findEmbedded, startEmbedded, type EmbeddedOptions, type EmbeddedServer } from './embedded.ts'

/** Where a prepared database is reached, and by whom. */
export interface ProjectUrls {
  /** The application's login, `tenantry_app`. */
  readonly appUrl: string
  /** The control plane's login, `tenantry_admin`. */
  readonly adminUrl: string
  readonly superuserUrl: string
  /** What sealed tenants' secrets come from: as lasting as the data. */
  readonly masterKey: string
}

/** A running server whose database is ready for migrations and tenants. */
export interface ProjectServer extends ProjectUrls {
  readonly server: EmbeddedServer
  stop(): Promise<void>
}

/** Passwords of the two logins, known to nobody else. */
export interface LoginPasswords {
  readonly admin: string
  readonly app: string
}

/** What is kept beside the data. */
interface ProjectSecrets extends LoginPasswords {
  readonly masterKey: string
}

const DATABASE = 'app'
const ADMIN = 'tenantry_admin'
const APP = 'tenantry_app'
const SECRETS_FILE = 'logins.json'

/**
 * Starts the embedded server of `dir` and prepares its database `app`. The second start finds all of it there; the
 * passwords of the logins stay the same, in a file that only this user can read.
 * @throws what `startEmbedded` throws
 * @example
 * const { appUrl, stop } = await prepareEmbedded({ dir: '.tenantry' })
 */
export async function prepareEmbedded(options: EmbeddedOptions): Promise<ProjectServer> {
  const server = await startEmbedded(options)
  try {
    const { dir, superuserUrl } = server
    const known = readSecrets(dir)
    const passwords = await prepareDatabase(superuserUrl, {
      database: DATABASE,
      known,
      onProgress: options.onProgress,
    })
    const secrets = { ...passwords, masterKey: known?.masterKey ?? newMasterKey() }
    writeSecrets(dir, secrets)
    const { masterKey } = secrets
    return { ...urlsOf(superuserUrl, passwords), masterKey, server, stop: () => server.stop() }
  } catch (error) {
    await server.stop()
    throw error
  }
}

/** The prepared server that another process runs for this folder, or undefined. */
export function findProjectServer(dir: string): ProjectUrls | undefined {
  const running = findEmbedded(dir)
  const secrets = readSecrets(resolve(dir))
  if (running === undefined || secrets?.masterKey === undefined) return undefined
  return { ...urlsOf(running.superuserUrl, secrets), masterKey: secrets.masterKey }
}

/** Whether this folder held a prepared database once, whether its server runs or not. */
export function wasPrepared(dir: string): boolean {
  return readSecrets(resolve(dir)) !== undefined
}

export interface PrepareOptions {
  readonly database: string
  /** Passwords of an earlier preparation. Where they do not fit, or are missing, the logins get new ones. */
  readonly known?: LoginPasswords | undefined
  readonly onProgress?: ((line: string) => void) | undefined
}

/**
 * Makes one database ready on a server of which we hold the superuser. Safe to repeat, and to go on with after a
 * crash anywhere: each part looks at what is there.
 */
export async function prepareDatabase(
  superuserUrl: string,
  options: PrepareOptions,
): Promise<LoginPasswords> {
  const { database, onProgress } = options
  await createDatabase(superuserUrl, database)
  const owner = createAdminDatabase(inDatabase(superuserUrl, database), 1)
  try {
    const fit = options.known !== undefined && (await passwordsFit(superuserUrl, database, options.known))
    if (!fit) onProgress?.(`preparing the database ${database}`)
    const { admin, app } = await createLogins(owner, { admin: ADMIN, app: APP, rotate: !fit })
    // A folder of an earlier version has an admin without it.
    await owner.query(`alter role ${quoteIdent(ADMIN)} createdb`)
    const passwords = {
      admin: admin.password ?? options.known?.admin ?? '',
      app: app.password ?? options.known?.app ?? '',
    }
    await owner.query(`alter database ${quoteIdent(database)} owner to ${quoteIdent(ADMIN)}`)
    await harden(owner, { admin: ADMIN, app: APP })
    await installCatalog(superuserUrl, database, passwords)
    return passwords
  } finally {
    await owner.close()
  }
}

async function installCatalog(
  superuserUrl: string,
  database: string,
  passwords: LoginPasswords,
): Promise<void> {
  const plane = createControlPlane({ connection: urlsOf(superuserUrl, passwords, database).adminUrl })
  try {
    await plane.install()
  } finally {
    await plane.close()
  }
}

async function createDatabase(superuserUrl: string, database: string): Promise<void> {
  await withDatabase(superuserUrl, async (server) => {
    const { rows } = await server.query('select 1 from pg_database where datname = $1', [database])
    if (rows.length === 0) await server.query(`create database ${quoteIdent(database)}`)
  })
}

/** Not on a copy from elsewhere, and not after a crash between the change and the file. */
async function passwordsFit(superuserUrl: string, database: string, known: LoginPasswords): Promise<boolean> {
  const { adminUrl, appUrl } = urlsOf(superuserUrl, known, database)
  try {
    for (const url of [adminUrl, appUrl]) await withDatabase(url, (db) => db.query('select 1'))
    return true
  } catch (error) {
    if (['28P01', '28000', '42501'].includes(sqlState(error) ?? '')) return false
    throw error
  }
}

async function withDatabase<T>(url: string, fn: (db: AdminDatabase) => Promise<T>): Promise<T> {
  const db = createAdminDatabase(url, 1)
  try {
    return await fn(db)
  } finally {
    await db.close()
  }
}

function urlsOf(
  superuserUrl: string,
  passwords: LoginPasswords,
  database = DATABASE,
): Omit<ProjectUrls, 'masterKey'> {
  const url = inDatabase(superuserUrl, database)
  return {
    superuserUrl: url,
    adminUrl: withLogin(url, { name: ADMIN, password: passwords.admin }),
    appUrl: withLogin(url, { name: APP, password: passwords.app }),
  }
}

function inDatabase(url: string, database: string): string {
  const result = new URL(url)
  result.pathname = `/${encodeURIComponent(database)}`
  return result.href
}

/** A project that was prepared by an earlier version has no master key yet. */
function readSecrets(dir: string): (LoginPasswords & Partial<ProjectSecrets>) | undefined {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(join(dir, SECRETS_FILE), 'utf8'))
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || !('admin' in value) || !('app' in value))
    return undefined
  const { admin, app } = value
  if (typeof admin !== 'string' || typeof app !== 'string') return undefined
  const masterKey = 'masterKey' in value ? value.masterKey : undefined
  return typeof masterKey === 'string' ? { admin, app, masterKey } : { admin, app }
}

/** In one step, so that a reader never sees half of it; readable for this user alone. */
function writeSecrets(dir: string, secrets: ProjectSecrets): void {
  const known = readSecrets(dir)
  const { admin, app, masterKey } = secrets
  if (known?.admin === admin && known.app === app && known.masterKey === masterKey) return
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const draft = join(dir, `${SECRETS_FILE}.${randomBytes(6).toString('hex')}`)
  try {
    writeFileSync(draft, `${JSON.stringify(secrets)}\n`, { mode: 0o600 })
    renameSync(draft, join(dir, SECRETS_FILE))
  } finally {
    rmSync(draft, { force: true })
  }
}
