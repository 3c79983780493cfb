/** The login that a queue in PostgreSQL uses: one of its own, as docs/guides/background-jobs.md makes it. */
import { randomBytes } from 'node:crypto'
import type { TestDatabase } from './database.ts'

/** A login that owns the queue's schema and nothing else. */
export interface JobsLogin {
  readonly url: string
  readonly name: string
  /** After the database is gone. */
  drop(db: { sql(text: string): Promise<unknown> }): Promise<void>
}

/** Makes one, and its schema. */
export async function createJobsLogin(db: TestDatabase, schema: string): Promise<JobsLogin> {
  const name = `jobs_${randomBytes(6).toString('hex')}`
  for (const text of [
    `create role ${name} login password 'secret'`,
    `create schema ${schema} authorization ${name}`,
    // graphile-worker asks for its schema with IF NOT EXISTS, which wants this right all the same.
    `grant connect, create on database ${db.name} to ${name}`,
    // What hardening takes from everybody.
    `grant usage on language sql, plpgsql to ${name}`,
    `grant execute on function pg_notify(text, text), pg_advisory_xact_lock(bigint),
       pg_try_advisory_xact_lock(bigint) to ${name}`,
  ]) {
    await db.sql(text)
  }
  return {
    name,
    url: Object.assign(new URL(db.superuserUrl), { username: name, password: 'secret' }).href,
    async drop(server) {
      await server.sql(`drop owned by ${name} cascade`)
      await server.sql(`drop role ${name}`)
    },
  }
}
