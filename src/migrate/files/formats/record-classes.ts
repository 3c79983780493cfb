/** Migrations that are classes with a method `up`: MikroORM's and TypeORM's. */
import type { CodeFile, RecordMigration } from './code-files.ts'
import { inlineValues } from './inline-values.ts'
import type { Recorder } from './recorder.ts'

interface ClassMigration {
  readonly name?: unknown
  up(queryRunner?: unknown): unknown
  down?(queryRunner?: unknown): unknown
}

type MigrationClass = new (...args: unknown[]) => ClassMigration

/** MikroORM's `this.addSql(…)`; the name that it records is the file's, without its extension. */
export const recordMikroOrm: RecordMigration = {
  async up(code, recorder) {
    await mikroOrmMigration(code, recorder).up()
    return code.name.replace(/\.[^.]+$/, '')
  },
  async down(code, recorder) {
    // The class that it extends has a `down` that throws.
    if (!Object.hasOwn(Object(findClass(code).prototype), 'down')) return false
    await mikroOrmMigration(code, recorder).down?.()
    return true
  },
}

function mikroOrmMigration(code: CodeFile, recorder: Recorder): ClassMigration {
  const Migration = findClass(code)
  const migration = new Migration(
    recorder.refusing('it uses the driver'),
    recorder.refusing('it uses the config'),
  )
  const stand: Readonly<Record<string, unknown>> = {
    addSql: (sql: unknown): void => recorder.record(requireText(sql, recorder)),
    execute: (): never => {
      throw recorder.refuse('it calls this.execute()')
    },
    getEntityManager: (): never => {
      throw recorder.refuse('it calls this.getEntityManager()')
    },
    getKnex: (): never => {
      throw recorder.refuse('it calls this.getKnex()')
    },
  }
  for (const [name, value] of Object.entries(stand)) Object.defineProperty(migration, name, { value })
  return migration
}

/** TypeORM's `queryRunner.query(…)`; the name that it records is the class's, or its field `name`. */
export const recordTypeOrm: RecordMigration = {
  async up(code, recorder) {
    const Migration = findClass(code)
    const migration = new Migration()
    await migration.up(recordingRunner(recorder))
    return typeof migration.name === 'string' ? migration.name : Migration.name
  },
  async down(code, recorder) {
    const Migration = findClass(code)
    const migration = new Migration()
    if (typeof migration.down !== 'function') return false
    await migration.down(recordingRunner(recorder))
    return true
  },
}

function recordingRunner(recorder: Recorder): unknown {
  const query = (sql: unknown, values: readonly unknown[] = []): Promise<unknown> => {
    recorder.record(inlineValues(requireText(sql, recorder), values))
    return Promise.resolve(recorder.rows)
  }
  return new Proxy(
    { query },
    {
      get(target, key) {
        if (key === 'query') return target.query
        if (typeof key === 'symbol') return undefined
        // Most of these look at the tables first.
        throw recorder.refuse(`it calls queryRunner.${key}(), and only queryRunner.query() can be recorded`)
      },
    },
  )
}

function requireText(sql: unknown, recorder: Recorder): string {
  if (typeof sql === 'string') return sql
  throw recorder.refuse('it passes a query that is not a text')
}

function findClass({ exports }: CodeFile): MigrationClass {
  const found = new Set(Object.values(exports).filter(isMigrationClass))
  const [first, second] = found
  if (first === undefined) throw new Error('it exports no class with a method `up`')
  if (second !== undefined) throw new Error('it exports two migrations; each needs a file of its own')
  return first
}

function isMigrationClass(value: unknown): value is MigrationClass {
  if (typeof value !== 'function') return false
  const prototype: unknown = value.prototype
  return typeof prototype === 'object' && prototype !== null && 'up' in prototype
}
