/** The options that the library and the command line share, and the shape of tenantry.config.ts. */
import type { Queryable } from './database.ts'
import { lintSettingsProblem, type MigrationLintSettings } from './migration-lint.ts'
import type { Tenant } from './tenant.ts'
import { wavesProblem, type Wave } from './waves.ts'

/** The TLS and address options of node-postgres that Tenantry passes on unchanged. */
export interface ConnectionOptions {
  readonly host?: string
  /** TCP port; 5432 by default. */
  readonly port?: number
  readonly user?: string
  /** The password, or a function that fetches one for each connection (IAM tokens). */
  readonly password?: string | (() => string | Promise<string>)
  readonly database?: string
  /** `true`, or options of node:tls. */
  readonly ssl?: boolean | object
}

/** Where a database is: a `postgres://` URL or node-postgres options. */
export type ConnectionSpec = string | ConnectionOptions

/** Tools whose migrations are read: node-pg-migrate's and Drizzle Kit's SQL files, Prisma's folders, code of the others. */
export const MIGRATION_FORMATS = [
  'node-pg-migrate',
  'prisma',
  'drizzle',
  'knex',
  'mikro-orm',
  'typeorm',
] as const

/** The tool that wrote a folder of migrations. */
export type MigrationFormat = (typeof MIGRATION_FORMATS)[number]

/** A folder of migrations: its path, where its shape tells the tool that wrote it, or both said. */
export type MigrationFolder =
  | string
  | {
      readonly folder: string
      readonly format: MigrationFormat
      /** Of node-pg-migrate in code: whether its builder makes `first_name` of `firstName`, as its own option of this name does. */
      readonly decamelize?: boolean
    }

/** Folders of migrations. */
export interface MigrationFolders {
  /** For tables that all tenants share (schema `public`); runs once. */
  readonly shared?: MigrationFolder
  /** For each tenant's own schema; runs once a tenant. */
  readonly tenant?: MigrationFolder
}

/** Where migrations are, and in which order tenants get them. */
export interface MigrationConfig extends MigrationFolders {
  /** Who comes first, and what must be well before the others; all tenants at once by default. */
  readonly waves?: readonly Wave[]
  /** Levels of the rules that migrations are read with, and what keeps `up` from running. */
  readonly lint?: MigrationLintSettings
}

/** The path of a folder of migrations. */
export function folderOf(source: MigrationFolder): string {
  return typeof source === 'string' ? source : source.folder
}

/** The same folder elsewhere: as an absolute path, mostly. */
export function moveFolder(source: MigrationFolder, move: (path: string) => string): MigrationFolder {
  return typeof source === 'string' ? move(source) : { ...source, folder: move(source.folder) }
}

/**
 * Fills a new tenant with its first rows. Runs as the tenant's own role, in one transaction that also records
 * that it ran: it happens exactly once, or not at all.
 */
export type Seed = (db: Queryable, tenant: Tenant) => Promise<void>

/** What tenantry.config.ts exports. */
export interface TenantryConfig {
  /** The application's login; `DATABASE_URL` by default. */
  readonly connection?: ConnectionSpec
  /** The control plane's login; `TENANTRY_ADMIN_URL` by default. */
  readonly admin?: ConnectionSpec
  /** Folders, relative to the configuration file; `migrations/shared` and `migrations/tenant` by default. */
  readonly migrations?: MigrationConfig
  /** First rows of a new tenant: a function, or the path of a SQL file relative to the configuration file. */
  readonly seed?: Seed | string
  /** Hosts of the service's own, which no tenant can claim as its domain, nor a host below one; none by default. */
  readonly roots?: readonly string[]
  /** What secrets of API keys begin with, so that people and scanners know them; `tny` by default. */
  readonly apiKeyPrefix?: string
  /** How many homes `tenantry pool fill` makes ahead of sign-ups; none by default. */
  readonly warmPool?: number
  /** Where the embedded server of `tenantry dev` keeps its data; `.tenantry` beside the configuration file. */
  readonly embedded?: { readonly dir?: string }
}

/**
 * Types a configuration file.
 * @example
 * export default defineConfig({ migrations: { tenant: 'db/tenant' } })
 */
export function defineConfig(config: TenantryConfig): TenantryConfig {
  return config
}

const KNOWN: Readonly<Record<keyof TenantryConfig, (value: unknown) => string | undefined>> = {
  connection: connectionProblem,
  admin: connectionProblem,
  migrations: migrationsProblem,
  seed: (value) =>
    typeof value === 'function' || isText(value) ? undefined : 'is neither a function nor a path',
  roots: (value) => (Array.isArray(value) && value.every(isText) ? undefined : 'is not a list of host names'),
  apiKeyPrefix: (value) => (isText(value) ? undefined : 'is not a text'),
  warmPool: (value) =>
    Number.isInteger(value) && (value as number) >= 0 ? undefined : 'is not a whole number',
  embedded: (value) => foldersProblem(value, ['dir']),
}

/** What is wrong with a configuration, in words for TNY002, or `undefined`: files are written by hand. */
export function configProblem(config: unknown): string | undefined {
  if (!isRecord(config)) return 'the default export is not an object'
  for (const [name, value] of Object.entries(config)) {
    const check = Object.hasOwn(KNOWN, name) ? KNOWN[name as keyof TenantryConfig] : undefined
    if (check === undefined) {
      return `the option \`${name}\` does not exist (there are ${Object.keys(KNOWN).join(', ')})`
    }
    const problem = value === undefined ? undefined : check(value)
    if (problem !== undefined) return `\`${name}\` ${problem}`
  }
  return undefined
}

function connectionProblem(value: unknown): string | undefined {
  return typeof value === 'string' || isRecord(value)
    ? undefined
    : 'is neither a URL nor an object of options'
}

function migrationsProblem(value: unknown): string | undefined {
  if (!isRecord(value)) return foldersProblem(value, ['shared', 'tenant'])
  const { waves, lint, ...folders } = value
  const lintProblem = lint === undefined ? undefined : lintSettingsProblem(lint)
  if (lintProblem !== undefined) return `has \`lint\` which ${lintProblem}`
  const problem = waves === undefined ? undefined : wavesProblem(waves)
  return problem === undefined
    ? foldersProblem(folders, ['shared', 'tenant'], isFolder)
    : `has \`waves\` of which this is wrong: waves${problem.startsWith('[') ? '' : ' '}${problem}`
}

function foldersProblem(
  value: unknown,
  names: readonly string[],
  isPath: (path: unknown) => boolean = isText,
): string | undefined {
  if (!isRecord(value)) return `is not an object of ${names.join(' and ')}`
  for (const [name, path] of Object.entries(value)) {
    if (!names.includes(name)) return `has no option \`${name}\` (there is ${names.join(', ')})`
    if (isPath(path) || path === undefined) continue
    return isRecord(path)
      ? `says no \`folder\` for \`${name}\`, or no \`format\` of ${MIGRATION_FORMATS.join(', ')}`
      : `says no path for \`${name}\``
  }
  return undefined
}

function isFolder(value: unknown): boolean {
  if (!isRecord(value)) return isText(value)
  const { folder, format, decamelize, ...rest } = value
  if (decamelize !== undefined && typeof decamelize !== 'boolean') return false
  const formats: readonly unknown[] = MIGRATION_FORMATS
  return isText(folder) && formats.includes(format) && Object.keys(rest).length === 0
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
