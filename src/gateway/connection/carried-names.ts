/** Whether a pooler carries the names of statements from one of its server connections to the next. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { Wire } from './flight.ts'

/** The same text for every connection: a pooler keeps each text that it has seen. */
const QUESTION = `/* tenantry: what is this statement called? */
select exists (select from pg_prepared_statements where name = $1)::text as literal`

interface Asking {
  submit(connection: Wire): null
  handleReadyForQuery(): void
}
const BaseQuery = pg.Query as unknown as new (config: object) => Asking

/**
 * A statement looks for itself under the name that it was sent under, and finds it unless somebody calls it by another:
 * PgBouncer does from 1.21 on, with `max_prepared_statements` above 0. This is proof of the nearest pooler alone: of two in
 * a row, one that carries names hides one that does not.
 * Source: PgBouncer's manual, max_prepared_statements.
 */
export async function carriesNames(client: pg.Client): Promise<boolean> {
  const name = `tenantry_${randomBytes(6).toString('hex')}`
  const answer = Promise.withResolvers<pg.QueryResult<{ literal: string }>>()
  const question = new (class extends BaseQuery {
    override submit(connection: Wire): null {
      connection.stream.cork()
      connection.parse({ name, text: QUESTION })
      connection.bind({ statement: name, values: [name] })
      connection.describe({ type: 'P', name: '' })
      connection.execute({})
      // Without it the name would stay on a server that others use.
      connection.close({ type: 'S', name })
      connection.sync()
      connection.stream.uncork()
      return null
    }
  })({
    text: QUESTION,
    callback: (error: Error | null, result: pg.QueryResult<{ literal: string }>) =>
      error === null ? answer.resolve(result) : answer.reject(error),
  })
  client.query(question as unknown as pg.Submittable)
  try {
    return (await answer.promise).rows[0]?.literal === 'false'
  } catch (error) {
    // A hardened database does not tell everybody: names are an advantage, not a need.
    if (error instanceof pg.DatabaseError && error.code === '42501') return false
    throw error
  }
}
