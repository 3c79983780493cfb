/** A real PgBouncer in front of the test server, and its own word on what it does. */
import pg from 'pg'
import {
  type PgBouncer as Pooler,
  type PgBouncerOptions as PoolerOptions,
  startPgBouncer as start,
} from '../../dev/pgbouncer.ts'
import {
  findInstalledPgBouncer,
  findNamingPgBouncer as findNaming,
  type PgBouncerProgram,
} from '../../dev/pgbouncer-program.ts'
import { serverOf, type ServerVersion } from './versions.ts'

/** A running PgBouncer. */
export interface PgBouncer extends Pooler {
  /** A command of its console, as in `show servers`, and its answer. */
  console(command: string): Promise<Record<string, unknown>[]>
}

/** How it is set up; `program` is the installed one by default. */
export type PgBouncerOptions = Omit<PoolerOptions, 'logins'> & {
  readonly program?: PgBouncerProgram | undefined
  /** URLs of logins beside the superuser's and the two of the installation. */
  readonly moreLogins?: readonly string[] | undefined
  /** Of the server behind it; 18 by default. */
  readonly version?: ServerVersion | undefined
}

/** What a tenancy is told of a PgBouncer that carries names. */
export const CARRIES_NAMES = 'pgbouncer-prepared'

/** The one of this system, as old as it may be; `undefined` where none is installed. */
export const findPgBouncer = findInstalledPgBouncer

/** One that carries named statements (1.21 and later); `undefined` where none can be had, which fails in CI. */
export function findNamingPgBouncer(): PgBouncerProgram | undefined {
  try {
    return findNaming(() => undefined)
  } catch (error) {
    if (process.env['CI'] !== undefined) throw error
    return undefined
  }
}

/** Starts one and waits until it answers. It ends with `stop`, or with this process. */
export async function startPgBouncer(options: PgBouncerOptions): Promise<PgBouncer> {
  const program = options.program ?? findPgBouncer()
  if (program === undefined) throw new Error('pgbouncer is not installed')
  const { superuserUrl, passwords } = await serverOf(options.version)
  const login = (username: string, password: string): string =>
    Object.assign(new URL(superuserUrl), { username, password }).href
  const app = login('tenantry_app', passwords.app)
  const logins = [superuserUrl, app, login('tenantry_admin', passwords.admin), ...(options.moreLogins ?? [])]
  const pooler = await start(program, { ...options, logins })
  const ownDatabase = Object.assign(new URL(pooler.through(superuserUrl)), { pathname: '/pgbouncer' }).href
  return {
    ...pooler,
    async console(command) {
      const client = new pg.Client(ownDatabase)
      await client.connect()
      try {
        return (await client.query<Record<string, unknown>>(command)).rows
      } finally {
        await client.end()
      }
    },
  }
}
