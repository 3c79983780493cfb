/** Migrations in JavaScript and TypeScript: which files they are, and their modules loaded. */
import type { Dirent } from 'node:fs'
import { createRequire, registerHooks } from 'node:module'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { TenantryError } from '../../../core/errors.ts'
import { invalidMigration, type MigrationSource, type SourceSql, type SqlPart } from './migration-source.ts'
import { createRecorder, type Recorder } from './recorder.ts'
import { readText } from './read-text.ts'

/** A migration in code, loaded. */
export interface CodeFile {
  /** The file's own name: `20240101000000_orders.ts`. */
  readonly name: string
  readonly path: string
  /** What it exports; of CommonJS, what it is. */
  readonly exports: Readonly<Record<string, unknown>>
}

/** One tool's way to run a migration against a recorder. */
export interface RecordMigration {
  /** @returns the name that the tool would record. */
  up(code: CodeFile, recorder: Recorder): Promise<string>
  /** @returns false where the migration has nothing to undo it with. */
  down(code: CodeFile, recorder: Recorder): Promise<boolean>
}

/** Whether a file is code that Node runs; declarations are none. */
export function isCode(name: string): boolean {
  return /\.[cm]?[jt]s$/i.test(name) && !/\.d\.[cm]?ts$/i.test(name)
}

/**
 * The code of a folder, in the order of file names.
 * @throws TNY401 where a file is there as source and compiled, or is something else.
 */
export async function readCodeFolder(
  folder: string,
  entries: readonly Dirent[],
  record: RecordMigration,
): Promise<MigrationSource[]> {
  const sources: MigrationSource[] = []
  let previous = ''
  const names = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name)
  for (const name of names.sort()) {
    const file = `${basename(folder)}/${name}`
    if (name.startsWith('.') || /\.d\.[cm]?ts$|\.map$/i.test(name)) continue
    if (!isCode(name)) throw invalidMigration(file, 'only code belongs into a folder of migrations in code')
    const stem = name.replace(/\.[^.]+$/, '')
    if (stem === previous) throw invalidMigration(file, 'it is there twice, as source and compiled')
    previous = stem
    const path = join(folder, name)
    const text = await readText(path, file)
    sources.push({ file, text, compile: () => compile(path, file, text, record) })
  }
  return sources
}

async function compile(
  path: string,
  file: string,
  text: string,
  record: RecordMigration,
): Promise<SourceSql> {
  const code = { name: basename(path), path, exports: await load(path, file, text) }
  const { parts, result: name } = await recordOne(path, file, (recorder) => record.up(code, recorder))
  return { name, parts, verbatim: false, down: await compileDown(code, file, record) }
}

async function compileDown(
  code: CodeFile,
  file: string,
  record: RecordMigration,
): Promise<SourceSql['down']> {
  try {
    const down = await recordOne(code.path, file, (recorder) => record.down(code, recorder))
    return down.result ? { file, parts: down.parts, verbatim: false } : undefined
  } catch (error) {
    if (error instanceof TenantryError) return error
    throw error
  }
}

async function recordOne<R>(
  path: string,
  file: string,
  run: (recorder: Recorder) => Promise<R>,
): Promise<{ readonly parts: readonly SqlPart[]; readonly result: R }> {
  const recorder = createRecorder(path, file)
  try {
    const result = await run(recorder)
    recorder.settle()
    return { parts: recorder.parts, result }
  } catch (error) {
    recorder.settle()
    if (error instanceof TenantryError) throw error
    throw notCompiled(file, error)
  }
}

let loaded = 0

async function load(path: string, file: string, text: string): Promise<Readonly<Record<string, unknown>>> {
  // A module is kept for ever under its address: an edited file gets another one.
  const url = `${pathToFileURL(path).href}?tenantry-migration=${++loaded}`
  Reflect.deleteProperty(createRequire(import.meta.url).cache, path)
  const hooks = registerHooks({
    load(address, context, nextLoad) {
      const module = nextLoad(address, context)
      return address === url ? { ...module, source: withTypeImports(text) } : module
    },
  })
  try {
    // A bundler that packs the server has nothing to look for here: the file is the user's, and read when it is there.
    const module = (await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ url)) as Readonly<
      Record<string, unknown>
    >
    const inner = module['default']
    // CommonJS: what it exports, all of it.
    return typeof inner === 'object' && inner !== null ? { ...module, ...inner } : module
  } catch (error) {
    throw notCompiled(file, error)
  } finally {
    hooks.deregister()
  }
}

const INTERFACES = /(?<!\btype\s+)\b(MigrationInterface|QueryRunner)\b/g

/** TypeORM writes interfaces as if they were values, which a compiler forgives and Node does not. */
function withTypeImports(text: string): string {
  return text.replace(/\bimport\s*\{([^}]*)\}(?=\s*from\s*(['"])typeorm\2)/g, (statement, names: string) =>
    names.replace(INTERFACES, '').replace(/[\s,]/g, '') === ''
      ? statement.replace('import', 'import type')
      : statement.replace(names, names.replace(INTERFACES, 'type $1')),
  )
}

function notCompiled(file: string, error: unknown): TenantryError {
  const reason = error instanceof Error ? error.message.replace(/\.$/, '') : String(error)
  const advice =
    'It must run on this Node as it is, without a compiler: types alone are stripped. Else name the compiled folder.'
  return new TenantryError('TNY410', { params: { file, reason, advice }, cause: error })
}
