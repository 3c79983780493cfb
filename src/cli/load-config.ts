/** Finds tenantry.config.ts from a folder upward, reads it, and checks what it says. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseEnv } from 'node:util'
import {
  configProblem,
  moveFolder,
  type MigrationFolder,
  type Seed,
  type TenantryConfig,
} from '../core/config.ts'
import { TenantryError } from '../core/errors.ts'

/** A project as its configuration describes it; every path is absolute. */
export interface Project {
  /** The configuration file, `undefined` where there is none. */
  readonly file: string | undefined
  /** The folder that paths are relative to. */
  readonly folder: string
  readonly config: TenantryConfig
  readonly migrations: { readonly shared: MigrationFolder; readonly tenant: MigrationFolder }
  readonly seed: Seed | string | undefined
  /** Where the embedded server keeps its data. */
  readonly embedded: string
}

/** Names that a configuration file may have; the first that exists in a folder counts. */
export const CONFIG_FILES = [
  'tenantry.config.ts',
  'tenantry.config.mts',
  'tenantry.config.js',
  'tenantry.config.mjs',
]

/** Files with variables, the stronger first; what the environment says itself is stronger still. */
const ENV_FILES = ['.env.local', '.env']

/** The configuration file of a folder or of the nearest folder above it. */
function findConfigFile(folder: string): string | undefined {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const file = CONFIG_FILES.map((name) => join(at, name)).find((path) => existsSync(path))
    if (file !== undefined) return file
    if (at === dirname(at)) return undefined
  }
}

/**
 * The project around `cwd`. Without a configuration file the defaults hold for `cwd` itself.
 * @param named the file of --config.
 * @throws TNY004 where the file cannot be loaded, TNY002 where what it says is not valid.
 */
export async function loadProject(cwd: string, named?: string): Promise<Project> {
  const file = named === undefined ? findConfigFile(cwd) : resolve(cwd, named)
  const folder = file === undefined ? cwd : dirname(file)
  loadVariables(folder)
  const config = file === undefined ? {} : await importConfig(file)
  const inFolder = (path: string): string => resolve(folder, path)
  return {
    file,
    folder,
    config,
    migrations: {
      shared: moveFolder(config.migrations?.shared ?? 'migrations/shared', inFolder),
      tenant: moveFolder(config.migrations?.tenant ?? 'migrations/tenant', inFolder),
    },
    seed: typeof config.seed === 'string' ? inFolder(config.seed) : config.seed,
    embedded: inFolder(config.embedded?.dir ?? '.tenantry'),
  }
}

/** Into process.env, since that is where a configuration file looks for them. */
function loadVariables(folder: string): void {
  for (const name of ENV_FILES) {
    const path = join(folder, name)
    if (!existsSync(path)) continue
    for (const [key, value] of Object.entries(parseEnv(readFileSync(path, 'utf8'))))
      process.env[key] ??= value
  }
}

async function importConfig(file: string): Promise<TenantryConfig> {
  if (!existsSync(file)) {
    throw new TenantryError('TNY004', { params: { file, reason: 'there is no such file' } })
  }
  let module: { default?: unknown }
  try {
    module = (await import(pathToFileURL(file).href)) as { default?: unknown }
  } catch (error) {
    throw new TenantryError('TNY004', { params: { file, reason: whyNotLoaded(error) }, cause: error })
  }
  const exported = module.default
  // A CommonJS module that a compiler made of `export default` has it one level deeper.
  const config = isModule(exported) ? exported.default : exported
  if (config === undefined) {
    throw new TenantryError('TNY004', { params: { file, reason: 'it has no default export' } })
  }
  const reason = configProblem(config)
  if (reason !== undefined) throw new TenantryError('TNY002', { params: { reason: `${reason} in ${file}` } })
  return config as TenantryConfig
}

/** `npx tenantry` runs without the package being a dependency of the project; its configuration does not. */
function whyNotLoaded(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const missing =
    'code' in error && error.code === 'ERR_MODULE_NOT_FOUND' && error.message.includes("'tenantry'")
  return missing
    ? 'the project has no package tenantry yet (npm install tenantry pg)'
    : error.message.replace(/\.$/, '')
}

function isModule(value: unknown): value is { default: unknown } {
  return typeof value === 'object' && value !== null && '__esModule' in value && 'default' in value
}
