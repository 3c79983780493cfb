/** Migrations of node-pg-migrate in code: its own builder turns them into SQL, once, or for each tenant. */
import { createRequire } from 'node:module'
import { basename } from 'node:path'
import type { MigrationBuilder } from 'node-pg-migrate'
import type { Queryable } from '../../../core/database.ts'
import { TenantryError } from '../../../core/errors.ts'
import type { ScriptPerTenant } from '../migration.ts'
import { type CodeFile, notCompiled } from './code-files.ts'
import { joinParts, requireParts } from './join-parts.ts'
import type { DirectionSql, SourceSql, SqlPart } from './migration-source.ts'
import { lineIn } from './recorder.ts'

/** Types by name, which a file gives to those behind it. */
export type Shorthands = Readonly<Record<string, unknown>>

/** How the builder of a folder is made. */
export interface BuilderOptions {
  readonly shorthands: Shorthands
  readonly decamelize: boolean
}

interface Direction {
  readonly code: CodeFile
  /** For messages. */
  readonly file: string
  readonly action: Action
  /** Whether what `up` does is to be undone. */
  readonly reverse: boolean
  readonly options: BuilderOptions
}

type Action = (pgm: MigrationBuilder, done?: () => void) => unknown

/** The shorthands of a file and of those before it. */
export function carryShorthands(before: Shorthands, { exports }: CodeFile): Shorthands {
  return { ...before, ...(exports['shorthands'] as Shorthands | undefined) }
}

/**
 * The SQL of a migration in both directions; of one that asks the database, what gives it for each tenant.
 * @throws TNY410 where it has no way up.
 */
export async function compileBuilderFile(
  code: CodeFile,
  file: string,
  options: BuilderOptions,
): Promise<SourceSql> {
  const { up, down } = code.exports
  const name = basename(code.name).replace(/\.[^.]+$/, '')
  if (typeof up !== 'function') {
    throw notCompiled(file, new Error(up === false ? 'its `up` is disabled' : 'it exports no function `up`'))
  }
  const upwards = { code, file, action: up as Action, reverse: false, options }
  const compiled = await compileTwice(upwards)
  if (down === false) return { name, ...compiled, down: undefined }
  const downwards = { ...upwards, action: (down ?? up) as Action, reverse: down === undefined || down === up }
  try {
    if (typeof downwards.action !== 'function') throw new Error('its `down` is not a function')
    return { name, ...compiled, down: { file, ...(await compile(downwards)) } }
  } catch (error) {
    return { name, ...compiled, down: error instanceof TenantryError ? error : notCompiled(file, error) }
  }
}

/** A second time, to know whether it says the same each time. */
async function compileTwice(direction: Direction): Promise<DirectionSql> {
  const first = await compile(direction)
  if (first.perTenant !== undefined) return first
  const { parts } = await compile(direction)
  return { ...first, again: parts }
}

async function compile(direction: Direction): Promise<DirectionSql> {
  const { file } = direction
  let asked = false
  let stop = (): void => undefined
  // Whoever asks gets no answer here: nothing behind the question happens.
  const stopped = new Promise<void>((resolve) => (stop = resolve))
  const ask = (): Promise<never> => {
    asked = true
    stop()
    return new Promise(() => undefined)
  }
  const build = createBuild(direction, { query: ask, select: ask })
  try {
    await Promise.race([build.run(), stopped])
  } catch (error) {
    if (!asked) throw notCompiled(file, error)
  }
  const transaction = build.inTransaction()
  if (!asked) return { parts: build.parts(), verbatim: false, options: transaction ? {} : { transaction } }
  if (!transaction) throw notCompiled(file, new Error(NEITHER))
  return { parts: [], verbatim: false, perTenant: perTenant(direction) }
}

const NEITHER = 'it reads rows, and asks for no transaction; do that in two migrations'

function perTenant(direction: Direction): ScriptPerTenant {
  const { file } = direction
  return async (db) => {
    const query = (text: unknown, values?: unknown): Promise<unknown> => sendChecked(db, file, text, values)
    const select = async (text: unknown, values?: unknown): Promise<unknown> =>
      (await sendChecked(db, file, text, values)).rows
    const build = createBuild(direction, { query, select })
    await build.run()
    if (!build.inTransaction()) throw notCompiled(file, new Error(NEITHER))
    const parts = build.parts()
    requireParts(file, { parts, verbatim: false })
    return {
      line: 1,
      ...joinParts(
        parts.map(({ text }) => text),
        parts,
      ),
    }
  }
}

/** What code sends by itself is checked as what files hold: it runs in the same transaction. */
async function sendChecked(
  db: Queryable,
  file: string,
  query: unknown,
  values?: unknown,
): ReturnType<Queryable['query']> {
  const config = (typeof query === 'string' ? { text: query } : query) as { text: string; values?: unknown[] }
  requireParts(file, { parts: [{ text: config.text, line: undefined }], verbatim: false })
  const given = (values ?? config.values) as readonly unknown[] | undefined
  return given === undefined ? db.query(config.text) : db.query(config.text, given)
}

type Send = (text: unknown, values?: unknown) => Promise<unknown>

interface Build {
  run(): Promise<void>
  parts(): readonly SqlPart[]
  inTransaction(): boolean
}

type Builder = new (
  db: { readonly query: Send; readonly select: Send },
  shorthands: Shorthands,
  decamelize: boolean,
  logger: object,
) => MigrationBuilder & { enableReverseMode(): void }

function createBuild(direction: Direction, db: { readonly query: Send; readonly select: Send }): Build {
  const { code, action, reverse, options } = direction
  const Builder = findBuilder(code.path)
  const quiet = (): void => undefined
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
  const pgm = new Builder(db, options.shorthands, options.decamelize, logger)
  if (reverse) pgm.enableReverseMode()
  // By their places before they are turned round.
  const lines: (number | undefined)[] = []
  const noting = new Proxy(pgm, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key)
      if (typeof value !== 'function' || key === 'func') return value
      return (...args: unknown[]): unknown => {
        const before = target.getSqlSteps().length
        const result: unknown = Reflect.apply(value, target, args)
        const line = lineIn(new Error('here'), code.path)
        for (let at = before; at < target.getSqlSteps().length; at++) lines[at] = line
        return result === target ? noting : result
      }
    },
  })
  return {
    async run() {
      if (action.length === 2) {
        await new Promise<void>((resolve, reject) => {
          void Promise.resolve(action(noting, resolve)).catch(reject)
        })
      } else await action(noting)
    },
    parts() {
      const steps = pgm.getSqlSteps()
      const own = Array.from(steps, (_, index) => lines[index])
      return steps.map((text, index) => ({ text, line: (reverse ? own.toReversed() : own)[index] }))
    },
    inTransaction: () => pgm.isUsingTransaction(),
  }
}

/** The project's own node-pg-migrate, for whose builder its migrations were written. */
function findBuilder(path: string): Builder {
  for (const from of [path, import.meta.url]) {
    try {
      const found = createRequire(from)('node-pg-migrate') as { readonly MigrationBuilder?: unknown }
      if (typeof found.MigrationBuilder === 'function') return found.MigrationBuilder as Builder
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND')) throw error
    }
  }
  const advice = 'Install the package node-pg-migrate in the project, in version 9 or newer.'
  throw new TenantryError('TNY410', {
    params: { file: path, reason: 'node-pg-migrate is not installed', advice },
  })
}
