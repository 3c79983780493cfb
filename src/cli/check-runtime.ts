/** What `tenantry doctor` says of the runtime connection: server, login, enforcement, listener. */
import { randomBytes } from 'node:crypto'
import type { AdminDatabase } from '../core/database.ts'
import { connectionConfig } from '../gateway/connection/connection-config.ts'
import { Listener } from '../gateway/listener.ts'
import { releaseOf } from '../isolation/known-holes.ts'
import { loginProblems, type ServerFacts } from '../isolation/probe.ts'
import { serverWarnings, type ServerWarning } from '../isolation/server-warnings.ts'
import { fail, ok, warn, withConnection, type Check, type Findings } from './check.ts'
import type { Connection } from './connections.ts'

/** The oldest server that is tried: 15. */
const OLDEST_VERSION = 150_000
const HEARING_MS = 2_000

export async function checkRuntime(connection: Connection | undefined): Promise<Findings> {
  if (connection === undefined) {
    return {
      checks: [fail('runtime connection', 'not configured', 'Set DATABASE_URL to the login tenantry_app.')],
    }
  }
  return withConnection('runtime connection', connection, async (db, facts) => [
    facts.version >= OLDEST_VERSION
      ? ok('server version', readableVersion(facts.version))
      : fail('server version', readableVersion(facts.version), 'Use PostgreSQL 15 or newer.'),
    ...warnings(facts),
    facts.standardConformingStrings
      ? ok('string literals', 'standard_conforming_strings is on')
      : fail(
          'string literals',
          'standard_conforming_strings is off: the guard would misread statements',
          'alter database … set standard_conforming_strings = on',
        ),
    ...runtimeLogin(facts),
    enforcement(facts),
    await hearing(connection, db),
  ])
}

function warnings(facts: ServerFacts): Check[] {
  const found = serverWarnings(facts)
  const check = (about: ServerWarning['about'], fine: string): Check => {
    const warning = found.find((each) => each.about === about)
    return warning === undefined ? ok(about, fine) : warn(about, warning.message, warning.advice)
  }
  return [
    check('security fixes', 'no hole is known that reaches across tenants'),
    check('tenant roles', `${facts.login.name} can enter ${facts.login.memberships}`),
  ]
}

function runtimeLogin(facts: ServerFacts): Check[] {
  const problems = loginProblems(facts)
  const advice = 'Use the login that `tenantry init` makes for the application (tenantry_app).'
  if (problems.length > 0)
    return problems.map((problem) => fail('runtime login', `${facts.login.name}: ${problem}`, advice))
  const what = 'owns nothing, no special rights, may bind the context'
  return [ok('runtime login', `${facts.login.name}: ${what}`)]
}

function enforcement({ open, enforcement: found }: ServerFacts): Check {
  if (found === 'database')
    return ok(
      'enforcement',
      'database: the server itself refuses what leaves a tenant, but for SET ROLE, which the SQL guard refuses',
    )
  const parts = [
    ...(open.functions.length > 0 ? [`${open.functions.length} functions (${sample(open.functions)})`] : []),
    ...(open.languages.length > 0 ? [`the languages ${open.languages.join(', ')}`] : []),
    ...(open.temporary ? ['TEMPORARY on the database'] : []),
    ...(open.createInDatabase ? ['CREATE on the database'] : []),
    ...(open.createInPublic ? ['CREATE on schema public'] : []),
  ]
  const advice = 'With a URL of a superuser: tenantry harden. Managed servers may not allow all of it.'
  return warn('enforcement', `guard: open to everybody: ${parts.join('; ')}`, advice)
}

function sample(signatures: readonly string[]): string {
  const names = [...new Set(signatures.map((signature) => signature.replace(/\(.*/, '')))]
  // set_config matters most: with it a statement changes tenants.
  const first = names.includes('set_config')
    ? ['set_config', ...names.filter((name) => name !== 'set_config')]
    : names
  return first.length > 3 ? `${first.slice(0, 3).join(', ')}, …` : first.join(', ')
}

/** A real notification: a pooler in transaction mode takes LISTEN and delivers nothing (FINDINGS 9). */
async function hearing({ spec }: Connection, db: AdminDatabase): Promise<Check> {
  const channel = `tenantry_doctor_${randomBytes(6).toString('hex')}`
  const { promise: heard, resolve } = Promise.withResolvers<boolean>()
  const listener = new Listener({
    config: connectionConfig(spec, 'runtime connection', 'DATABASE_URL'),
    channel,
    heartbeatMs: HEARING_MS,
    onNotification: () => resolve(true),
    onLost: () => resolve(false),
    onListening: () => void db.query('select pg_notify($1, $2)', [channel, '']).catch(() => resolve(false)),
  })
  const timer = setTimeout(() => resolve(false), HEARING_MS)
  await listener.start()
  const hears = await heard
  clearTimeout(timer)
  await listener.close()
  if (hears) return ok('listener', 'catalog changes are heard at once')
  return warn(
    'listener',
    'a notification did not arrive: every look-up of a tenant would ask the catalog',
    'Give createTenancy a `direct` connection that does not pass a pooler.',
  )
}

function readableVersion(version: number): string {
  return `PostgreSQL ${releaseOf(version)}`
}
