/** PostgreSQL's parser, kept whole: a text that is nested too deeply damages an instance of it, and gets a new one made. */
import { createRequire } from 'node:module'
import type * as libpgQuery from 'libpg-query'
import { TenantryError } from '../core/errors.ts'

/** A node's fields, or any other object of a parse tree. */
export type TreeFields = Readonly<Record<string, unknown>>

/** A statement of a text, below the name that the grammar gives it. */
export interface ParsedStatement {
  readonly stmt?: Readonly<Record<string, TreeFields>>
}

/** Reads SQL. Texts come from anybody, so that it must survive all of them. */
export interface SqlParser {
  /** Must have resolved before `parse` is called. */
  load(): Promise<void>
  /**
   * The statements of a text; costs some 30 to 200 µs.
   * @throws TNY213 where it is not PostgreSQL's syntax, cannot be sent as it is, or is nested too deeply.
   */
  parse(text: string): readonly ParsedStatement[]
}

type Library = typeof libpgQuery

/** Some forty such texts break an instance for good (seen); by then another one has long taken its place. */
const MOST_DAMAGE = 10

/** A parser of its own. */
export function createParser(): SqlParser {
  let library: Library | undefined
  let renewing: Promise<void> | undefined
  let damage = 0

  async function renew(): Promise<void> {
    library = await loadFresh()
    damage = 0
    renewing = undefined
  }
  return {
    load: () => (library === undefined ? (renewing ??= renew()) : Promise.resolve()),
    parse(text) {
      if (library === undefined) throw new Error('the parser is not loaded')
      // The parser would read no further than the NUL, and the wire has other bytes for half a surrogate pair.
      if (text.includes('\0') || !text.isWellFormed()) throw unreadable('it holds a character that is none')
      if (/^\s*$/.test(text)) return []
      if (damage >= MOST_DAMAGE) throw unreadable('the parser is being made anew')
      try {
        return (library.parseSync(text) as unknown as { stmts?: ParsedStatement[] }).stmts ?? []
      } catch (error) {
        if (error instanceof library.SqlError) throw unreadable(error.message, error)
        // Its C code was left in the middle: what it allocated stays, and its stack has lost a piece.
        damage += 1
        renewing ??= renew()
        throw unreadable('it is nested too deeply', error)
      }
    },
  }
}

function unreadable(reason: string, cause?: unknown): TenantryError {
  return new TenantryError('TNY213', { params: { reason }, ...(cause === undefined ? {} : { cause }) })
}

/** An import is kept by Node for ever, damage and all; what was required can be forgotten. */
async function loadFresh(): Promise<Library> {
  const require = createRequire(import.meta.url)
  Reflect.deleteProperty(require.cache, require.resolve('libpg-query'))
  const library = require('libpg-query') as Library
  await library.loadModule()
  return library
}
