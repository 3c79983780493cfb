/** The environment in which a program's ordinary PostgreSQL connections land inside one tenant. */
import type { ConnectionOptions, ConnectionSpec } from '../core/config.ts'
import type { Tenant } from '../core/tenant.ts'
import { type Credentials, searchPathOf } from '../gateway/binding.ts'

/** Where to connect, in the words of libpq. */
interface Address {
  readonly host: string
  readonly port: string
  readonly user: string
  readonly password: string
  readonly database: string
  /** Everything else of the URL, as `sslmode`; not `options`. */
  readonly parameters: ReadonlyMap<string, string>
  readonly options: string
}

/** Parameters that libpq also reads from the environment (PostgreSQL manual, 32.15). */
const VARIABLES: Readonly<Record<string, string>> = {
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  channel_binding: 'PGCHANNELBINDING',
}

/** Variables of ours and of libpq that would lead elsewhere, or that a tenant's program has no use for. */
const REMOVED = [
  'TENANTRY_ADMIN_URL',
  'TENANTRY_MASTER_KEY',
  'TENANTRY_PARENT',
  'PGHOSTADDR',
  'PGSERVICE',
  'PGSERVICEFILE',
  'PGROLE',
  'PGPASSFILE',
]

/**
 * `base` with DATABASE_URL and PG* for the runtime login or, of a sealed tenant, its own, in the tenant's database;
 * sessions begin as the tenant's role. That is given by start-up options, so that RESET leads back to the tenant; a pooler
 * in transaction mode refuses or ignores them.
 * Passwords go by the environment alone: arguments are seen by every user of the machine (V2).
 */
export async function tenantEnvironment(
  base: NodeJS.ProcessEnv,
  spec: ConnectionSpec,
  tenant: Tenant,
  credentials: Credentials,
): Promise<NodeJS.ProcessEnv> {
  const configured = typeof spec === 'string' ? readUrl(spec) : await readOptions(spec)
  const { database = configured.database } = tenant.home
  const address = { ...configured, ...credentials.login, database }
  const options = [address.options, startupOptions(tenant, credentials.proof)]
    .filter((text) => text !== '')
    .join(' ')
  const environment: NodeJS.ProcessEnv = { ...base }
  for (const name of REMOVED) delete environment[name]
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const value = address.parameters.get(name)
    if (value !== undefined) environment[variable] = value
  }
  return {
    ...environment,
    DATABASE_URL: urlOf(address, options),
    PGHOST: address.host,
    PGPORT: address.port,
    PGUSER: address.user,
    PGPASSWORD: address.password,
    PGDATABASE: address.database,
    PGOPTIONS: options,
    TENANTRY_TENANT: tenant.key,
    TENANTRY_TENANT_ID: tenant.id,
  }
}

/** `-c name=value` for each setting of the context; blanks and backslashes escaped (PostgreSQL manual, 32.1.2). */
function startupOptions({ id, home }: Tenant, proof: string): string {
  const search_path = searchPathOf(home).replaceAll(', ', ',')
  const settings = { role: home.role, search_path, 'app.current_tenant': id, 'tenantry.proof': proof }
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replaceAll(/[\\\s]/g, String.raw`\$&`)}`)
    .join(' ')
}

function readUrl(text: string): Address {
  const url = new URL(text)
  const parameters = new Map(url.searchParams)
  const take = (name: string): string | undefined => {
    const value = parameters.get(name)
    parameters.delete(name)
    return value
  }
  const user = take('user') ?? decodeURIComponent(url.username)
  return {
    host: take('host') ?? (decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1') || 'localhost'),
    port: take('port') ?? (url.port || '5432'),
    user,
    password: take('password') ?? decodeURIComponent(url.password),
    database: take('dbname') ?? (decodeURIComponent(url.pathname.slice(1)) || user),
    options: take('options') ?? '',
    parameters,
  }
}

async function readOptions(options: ConnectionOptions): Promise<Address> {
  const { host = 'localhost', port = 5432, user = '', password = '', database = user, ssl } = options
  return {
    host,
    port: String(port),
    user,
    password: typeof password === 'function' ? await password() : password,
    database,
    options: '',
    // Certificates given as objects of node:tls cannot be handed on; encryption can.
    parameters: new Map(ssl === undefined || ssl === false ? [] : [['sslmode', 'require']]),
  }
}

/** `%20`, never `+`: libpq reads only the former as a blank (PostgreSQL manual, 32.1.1.2). */
function urlOf(address: Address, options: string): string {
  const { host, port, user, password, database, parameters } = address
  const socket = host.startsWith('/')
  const name = socket ? '' : host.includes(':') ? `[${host}]` : encodeURIComponent(host)
  const query = [
    ...parameters,
    ...(socket ? [['host', host] as const, ['port', port] as const] : []),
    ['options', options] as const,
  ]
    .map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`)
    .join('&')
  const login = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
  return `postgres://${login}@${socket ? '' : `${name}:${port}`}/${encodeURIComponent(database)}?${query}`
}
