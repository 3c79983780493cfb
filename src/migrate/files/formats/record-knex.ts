/** Knex's migrations: `up(knex)` runs with a Knex that has a dialect and no server. */
import { createRequire } from 'node:module'
import type { Knex, knex } from 'knex'
import { TenantryError } from '../../../core/errors.ts'
import type { RecordMigration } from './code-files.ts'
import { inlineValues } from './inline-values.ts'
import type { Recorder } from './recorder.ts'

/** What the driver of Knex's PostgreSQL dialect is asked. */
interface DriverQuery {
  readonly text: string
  readonly values?: readonly unknown[]
}

interface Sent {
  readonly output?: (this: unknown, response: unknown) => unknown
}

/** What waits for its answer, with the stack that `asyncStackTraces` keeps. */
interface Builder {
  readonly _asyncStack?: { readonly error: Error }
}

interface Runner {
  query(sent: unknown): unknown
}

/** Knex's client, as far as it is replaced here: lib/client.js and lib/execution/runner.js in its source. */
interface KnexClient {
  runner(builder: Builder): Runner
  acquireConnection(): Promise<unknown>
  releaseConnection(connection: unknown): Promise<void>
  processResponse(sent: Sent, runner: unknown): unknown
}

/** The name that Knex records is the file's, with its extension. */
export const recordKnex: RecordMigration = {
  async up(code, recorder) {
    const { up } = code.exports
    if (typeof up !== 'function') throw new Error('it exports no function `up`')
    await (up as RunWithKnex)(recordingKnex(code.path, recorder))
    return code.name
  },
  async down(code, recorder) {
    const { down } = code.exports
    if (typeof down !== 'function') return false
    await (down as RunWithKnex)(recordingKnex(code.path, recorder))
    return true
  },
}

type RunWithKnex = (knex: Knex) => unknown

function recordingKnex(path: string, recorder: Recorder): Knex {
  const createKnex = findKnex(path)
  const plain = createKnex({ client: 'pg' })
  const Client = plain.client.constructor as new (config: object) => KnexClient
  let asking: Error | undefined
  const connection = {
    __knexUid: 'migration',
    query({ text, values = [] }: DriverQuery, done: (error: unknown, rows?: unknown) => void): void {
      try {
        note(text, values)
        done(null, {})
      } catch (error) {
        done(error)
      }
    },
  }
  // A class, since Knex makes the clients of transactions from its prototype.
  class RecordingClient extends Client {
    override runner(builder: Builder): Runner {
      const runner = super.runner(builder)
      const query = runner.query.bind(runner)
      runner.query = (sent) => {
        // From here to the connection nothing waits.
        asking = builder._asyncStack?.error
        return query(sent)
      }
      return runner
    }
    override acquireConnection(): Promise<unknown> {
      return Promise.resolve(connection)
    }
    override releaseConnection(): Promise<void> {
      return Promise.resolve()
    }
    override processResponse({ output }: Sent, runner: unknown): unknown {
      return output === undefined ? recorder.rows : output.call(runner, recorder.rows)
    }
  }
  const note = (text: string, values: readonly unknown[]): void => {
    // Each migration is a transaction already, and one that is rolled back inside of it depends on what it saw.
    if (/^\s*(begin|commit|savepoint|release)\b/i.test(text)) return
    if (/^\s*rollback\b/i.test(text)) throw recorder.refuse('it rolls back a transaction of its own')
    recorder.record(inlineValues(text, values), asking)
  }
  return createKnex({ client: RecordingClient as unknown as typeof Knex.Client, asyncStackTraces: true })
}

/** The project's own Knex, whose SQL its migrations were written for. */
function findKnex(path: string): typeof knex {
  for (const from of [path, import.meta.url]) {
    try {
      return createRequire(from)('knex') as typeof knex
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND')) throw error
    }
  }
  const advice = 'Install the package knex in the project.'
  throw new TenantryError('TNY410', { params: { file: path, reason: 'Knex is not installed', advice } })
}
