/** The migrations of an application that is in use, some 400 of ten years, as the SQL that they ran: Unleash's. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { runInNewContext } from 'node:vm'
import type { Queryable } from '../../src/core/database.ts'

const PACKAGE = 'unleash-server@8.2.0'
const CACHE = resolve(import.meta.dirname, '../../.tenantry')

/** What a migration ran. */
export interface RealMigration {
  readonly name: string
  readonly sql: string
}

/** The folder with its migrations, fetched once and kept; `undefined` where it cannot be had, which fails in CI. */
export function findRealHistory(): string | undefined {
  const folder = join(CACHE, PACKAGE.replace('@', '-'))
  try {
    if (!existsSync(folder)) fetchPackage(folder)
    return join(folder, 'package/dist/migrations')
  } catch (error) {
    if (process.env['CI'] !== undefined) throw error
    return undefined
  }
}

/** Unpacked beside its place, so that nobody meets half of it; no script of it runs. */
function fetchPackage(folder: string): void {
  const stage = `${folder}.new-${process.pid}`
  mkdirSync(stage, { recursive: true })
  try {
    const file = execFileSync('npm', ['pack', PACKAGE, '--silent', '--ignore-scripts'], { cwd: stage })
    execFileSync('tar', ['xzf', file.toString().trim(), 'package/dist/migrations'], { cwd: stage })
    renameSync(stage, folder)
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}

type Callback = (error?: unknown, result?: unknown) => void
type Task = (done: Callback) => void

/** The tool's own, which one of them looks at. */
const LEDGER =
  'CREATE TABLE migrations (id SERIAL PRIMARY KEY, name VARCHAR(255) NOT NULL, run_on TIMESTAMP NOT NULL);'

/**
 * Runs them, as they are code that reads what is there, and writes down each statement.
 * @param db a schema of its own is its path.
 */
export async function recordHistory(db: Queryable, folder: string): Promise<RealMigration[]> {
  const migrations: RealMigration[] = [{ name: '20141020151055-ledger', sql: LEDGER }]
  await db.query(LEDGER)
  for (const file of readdirSync(folder)
    .filter((name) => name.endsWith('.js'))
    .toSorted()) {
    const statements: string[] = []
    let before: Promise<unknown> = Promise.resolve()
    const run = (sql: string): Promise<unknown> => {
      if (sql.trim() !== '') statements.push(sql.trim().replace(/;*$/, ';'))
      before = before.then(() => db.query(sql))
      return before
    }
    const { up } = load(join(folder, file))
    await new Promise<void>((done, fail) => {
      setTimeout(() => fail(new Error('it does not end')), 10_000).unref()
      const returned = up(handle(run, db), (error) => {
        if (error === undefined || error === null) done()
        else fail(error instanceof Error ? error : new Error('a migration failed'))
      })
      // Some are promises, and some tell nobody when they end: the connection keeps the order.
      if (up.length < 2)
        Promise.resolve(returned)
          .then(() => before)
          .then(() => done(), fail)
    }).catch((cause: unknown) => {
      throw new Error(`${file}: ${cause instanceof Error ? cause.message : ''}`, { cause })
    })
    if (statements.length > 0)
      migrations.push({ name: file.slice(0, -3), sql: withoutTransactions(statements.join('\n')) })
  }
  return migrations
}

/** Each file is a transaction of its own anyway; a block of PL/pgSQL begins without a semicolon. */
function withoutTransactions(sql: string): string {
  return sql.replaceAll(/\b(BEGIN|COMMIT)\s*;/gi, '')
}

type Up = (db: unknown, done: Callback) => unknown

/** In a context that has but the three modules that the files name. */
function load(file: string): { up: Up } {
  const module = { exports: {} as { up: Up } }
  const require = (name: string): unknown => {
    if (name === 'async') return { series }
    return createRequire(file)(name === 'crypto' ? 'node:crypto' : name)
  }
  runInNewContext(`(function (exports, require, module) {${readFileSync(file, 'utf8')}\n})`, { console })(
    module.exports,
    require,
    module,
  )
  return module.exports
}

function series(tasks: readonly Task[], done: Callback): void {
  const [first, ...rest] = tasks
  if (first === undefined) done()
  else first((error) => (error === undefined || error === null ? series(rest, done) : done(error)))
}

interface Column {
  readonly type: string
  readonly length?: number
  readonly primaryKey?: boolean
  readonly notNull?: boolean
  readonly defaultValue?: unknown
}

/** As much of db-migrate's interface as the files use. */
function handle(run: (sql: string) => Promise<unknown>, db: Queryable): unknown {
  const send = (sql: string, done: Callback): void => {
    run(sql).then(
      (result) => done(null, result),
      (error: unknown) => done(error),
    )
  }
  /** Some do not wait: on one connection statements keep their order. */
  const last = (args: readonly unknown[]): Callback =>
    typeof args.at(-1) === 'function' ? (args.at(-1) as Callback) : () => undefined
  return {
    runSql: (sql: string, ...args: unknown[]) => send(fill(sql, args), last(args)),
    all: (sql: string, done: Callback) => void db.query(sql).then(({ rows }) => done(null, rows), done),
    createTable: (name: string, columns: Record<string, Column>, done: Callback) => {
      const list = Object.entries(columns).map(([column, options]) => defineColumn(column, options))
      send(`CREATE TABLE "${name}" (${list.join(', ')})`, done)
    },
    addColumn: (table: string, column: string, options: Column, done: Callback) =>
      send(`ALTER TABLE "${table}" ADD COLUMN ${defineColumn(column, options)}`, done),
    removeColumn: (table: string, column: string, done: Callback) =>
      send(`ALTER TABLE "${table}" DROP COLUMN "${column}"`, done),
    dropTable: (name: string, done: Callback) => send(`DROP TABLE "${name}"`, done),
  }
}

function defineColumn(name: string, { type, length, primaryKey, notNull, defaultValue }: Column): string {
  const types: Readonly<Record<string, string>> = { string: 'VARCHAR', int: 'INTEGER' }
  return [
    `"${name}" ${types[type] ?? type}${length === undefined ? '' : `(${length})`}`,
    primaryKey === true ? ' PRIMARY KEY' : '',
    notNull === true ? ' NOT NULL' : '',
    defaultValue === undefined
      ? ''
      : ` DEFAULT ${defaultValue === 'now()' ? 'now()' : literal(defaultValue)}`,
  ].join('')
}

/** Bind values become literals. */
function fill(sql: string, args: readonly unknown[]): string {
  const values = Array.isArray(args[0]) ? (args[0] as unknown[]) : []
  let at = 0
  return values.length === 0 ? sql : sql.replaceAll(/\?|\$\d+/g, () => literal(values[at++]))
}

function literal(value: unknown): string {
  if (value === null || value === undefined) return 'NULL'
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return `'${text.replaceAll("'", "''")}'`
}
