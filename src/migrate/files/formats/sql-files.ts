/** Migrations that are SQL already: Prisma's folders, and the files that Drizzle Kit's journal lists. */
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import {
  type DirectionSql,
  invalidMigration,
  type MigrationSource,
  type SourceSql,
} from './migration-source.ts'
import { readText } from './read-text.ts'

/**
 * Folders `<timestamp>_<name>/migration.sql`, in the order of their names, which are those of the migrations. A
 * `down.sql` beside it, as `prisma migrate diff` writes it on demand, undoes it.
 * @throws TNY401 for a folder without the file, and for a project of another database.
 */
export async function readPrismaFolder(folder: string): Promise<MigrationSource[]> {
  const lock = join(folder, 'migration_lock.toml')
  if (existsSync(lock)) {
    const provider = /^\s*provider\s*=\s*"([^"]*)"/m.exec(await readFile(lock, 'utf8'))?.[1]
    requirePostgres(`${basename(folder)}/migration_lock.toml`, provider)
  }
  const entries = await readdir(folder, { withFileTypes: true })
  const names = entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => name)
    .sort()
  const sources: MigrationSource[] = []
  for (const name of names) {
    const file = `${basename(folder)}/${name}/migration.sql`
    const path = join(folder, name, 'migration.sql')
    if (!existsSync(path)) throw invalidMigration(file, 'the file is missing')
    const downFile = `${basename(folder)}/${name}/down.sql`
    const downPath = join(folder, name, 'down.sql')
    const down = existsSync(downPath)
      ? { file: downFile, text: await readText(downPath, downFile) }
      : undefined
    sources.push(sqlSource(name, { file, text: await readText(path, file) }, (text) => text, down))
  }
  return sources
}

interface Journal {
  readonly dialect?: unknown
  readonly entries?: readonly { readonly tag?: unknown }[]
}

/**
 * The files of `meta/_journal.json`, in its order; the tag is the migration's name.
 * @throws TNY401 where journal and files do not fit.
 */
export async function readDrizzleFolder(folder: string): Promise<MigrationSource[]> {
  const about = `${basename(folder)}/meta/_journal.json`
  const journal = parseJournal(await readText(join(folder, 'meta/_journal.json'), about), about)
  requirePostgres(about, journal.dialect)
  const sources: MigrationSource[] = []
  const tags = new Set<string>()
  for (const { tag } of journal.entries ?? []) {
    if (typeof tag !== 'string' || !/^[^/\\.][^/\\]*$/.test(tag)) {
      throw invalidMigration(about, `${JSON.stringify(tag)} is not the tag of a migration`)
    }
    if (tags.has(tag)) throw invalidMigration(about, `it lists ${tag} twice`)
    tags.add(tag)
    const file = `${basename(folder)}/${tag}.sql`
    const path = join(folder, `${tag}.sql`)
    if (!existsSync(path)) throw invalidMigration(file, 'the journal lists it, but the file is missing')
    sources.push(sqlSource(tag, { file, text: await readText(path, file) }, endStatements))
  }
  // Drizzle would pass over it in silence, also where a merge lost an entry of the journal.
  const stray = (await readdir(folder)).find(
    (name) => name.endsWith('.sql') && !name.startsWith('.') && !tags.has(name.slice(0, -4)),
  )
  if (stray === undefined) return sources
  throw invalidMigration(`${basename(folder)}/${stray}`, 'meta/_journal.json does not list it')
}

function parseJournal(text: string, about: string): Journal {
  try {
    const journal = JSON.parse(text) as Journal | null
    if (Array.isArray(journal?.entries)) return journal
  } catch (error) {
    throw invalidMigration(about, 'it is not JSON', error)
  }
  throw invalidMigration(about, 'it has no list of entries')
}

const BREAKPOINT = '--> statement-breakpoint'

/** The mark ends a statement even where no semicolon does; every place in the text stays where it is. */
function endStatements(text: string): string {
  return text.replaceAll(BREAKPOINT, ';'.padEnd(BREAKPOINT.length))
}

interface SqlFile {
  readonly file: string
  readonly text: string
}

function sqlSource(
  name: string,
  up: SqlFile,
  toSql: (text: string) => string,
  down?: SqlFile,
): MigrationSource {
  const direction = ({ text }: SqlFile): DirectionSql => ({
    parts: [{ text: toSql(text), line: 1 }],
    verbatim: true,
  })
  const compile = (): SourceSql => ({
    name,
    ...direction(up),
    down: down === undefined ? undefined : { file: down.file, ...direction(down) },
  })
  return { file: up.file, text: [up.text, ...(down === undefined ? [] : [down.text])].join('\0'), compile }
}

function requirePostgres(file: string, database: unknown): void {
  if (database === 'postgresql' || database === 'postgres') return
  throw invalidMigration(file, `the migrations are for ${String(database)}, not for postgresql`)
}
