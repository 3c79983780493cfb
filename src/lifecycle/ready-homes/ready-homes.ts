/** The pool of homes made ahead, as the control plane offers it: fill, bring up to date, look at, drain. */
import { listReadyHomes, type ReadyHomeRow } from '../../catalog/ready-home-store.ts'
import { requireRuntimeLogin } from '../../catalog/settings.ts'
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { TenantMigrator } from '../../core/migrator.ts'
import { tryWithLock } from '../pinned-session.ts'
import { completeHome, dropHome, newHomeName, reserveHome } from './make-home.ts'

/** A home of nobody's. */
export interface ReadyHome {
  readonly schema: string
  /**
   * `ready`: the next sign-up may get it. `stale`: its migrations are not those of this project. `unfinished`: being made,
   * or left by a process that was killed. `lost`: its schema or roles are gone, or another database uses the roles too.
   */
  readonly state: 'ready' | 'stale' | 'unfinished' | 'lost'
  /** When it was ready first. */
  readonly madeAt: Date | undefined
}

/** What is in the pool. */
export interface PoolStatus {
  /** How many sign-ups it serves without DDL. */
  readonly ready: number
  readonly stale: number
  readonly unfinished: number
  readonly lost: number
  /** The oldest first. */
  readonly homes: readonly ReadyHome[]
}

/** What a fill did. */
export interface FillReport {
  /** Homes that are new. */
  readonly made: number
  /** Homes that were behind or unfinished, and are ready now. */
  readonly updated: number
  /** Homes that could not be brought to the newest migration, and why. They stay. */
  readonly failed: readonly { readonly schema: string; readonly error: unknown }[]
}

export interface FillOptions {
  /** How many homes shall be ready: 0 to 1000; what `warmPool` says by default. */
  readonly size?: number
  /** Told after each home that is ready. */
  readonly onProgress?: (progress: { readonly done: number; readonly schema: string }) => void
}

/** Homes made ahead: `tenants.create` takes one where it can, and a sign-up is one commit without DDL. */
export interface ReadyHomes {
  /**
   * Completes what an earlier fill left, brings homes that are behind up to date, and makes new ones up to `size`. Several
   * processes may do so at once.
   * @throws TNY429; TNY401 and others where the migrations cannot be read
   * @example
   * await control.pool.fill({ size: 10 })
   */
  fill(options?: FillOptions): Promise<FillReport>
  /** @throws TNY401 and others where the migrations cannot be read */
  status(): Promise<PoolStatus>
  /** Drops the homes that nobody took, schemas and roles; `stale`: only those that no sign-up would get. */
  drain(options?: { readonly stale?: boolean }): Promise<{ readonly dropped: number }>
}

export interface ReadyHomeParts {
  readonly db: AdminDatabase
  readonly migrator: TenantMigrator
}

/** The most homes in a pool: each is some tables more for whoever backs the database up. */
const MOST = 1_000

/** What fill can be told beside its size. */
export interface FillControl extends FillOptions {
  /** Asked before each home; true ends the fill. */
  readonly isStopped?: () => boolean
}

/** @throws TNY429 */
export function checkPoolSize(size: unknown): number {
  if (typeof size === 'number' && Number.isInteger(size) && size >= 0 && size <= MOST) return size
  throw new TenantryError('TNY429', { params: { size: String(size), most: MOST } })
}

/** Each home has a connection of its own, given back after it: a sign-up never waits for a whole fill. */
export function createReadyHomes({ db, migrator }: ReadyHomeParts): {
  fill(control: FillControl & { readonly size: number }): Promise<FillReport>
  status: ReadyHomes['status']
  drain: ReadyHomes['drain']
} {
  /** Works on a home as its only worker; `undefined` where somebody else is at it: then it is theirs to complete. */
  const alone = <T>(schema: string, work: (session: Queryable) => Promise<T>): Promise<T | undefined> =>
    db.session((session) => tryWithLock(session, { on: 'ready home', name: schema }, () => work(session)))

  const drop = async (schema: string): Promise<boolean> =>
    (await alone(schema, (session) => dropHome(session, schema))) ?? false

  async function list(): Promise<ReadyHome[]> {
    const newest = await migrator.digest()
    return (await listReadyHomes(db)).map((row) => ({
      schema: row.schema,
      state: stateOf(row, newest),
      madeAt: row.madeAt,
    }))
  }

  return {
    async fill({ size, onProgress, isStopped = () => false }) {
      checkPoolSize(size)
      const digest = await migrator.digest()
      const report = { made: 0, updated: 0, failed: [] as { schema: string; error: unknown }[] }
      let done = 0
      /** Whether it did not fail. */
      const complete = async (
        session: Queryable,
        schema: string,
        as: 'made' | 'updated',
      ): Promise<boolean> => {
        try {
          if (!(await completeHome(session, schema, digest, { db, migrator }))) return true
          report[as]++
          onProgress?.({ done: ++done, schema })
          return true
        } catch (error) {
          report.failed.push({ schema, error })
          return false
        }
      }
      for (const { schema, state } of await list()) {
        if (isStopped()) return report
        if (state === 'lost') await drop(schema)
        else if (state !== 'ready') await alone(schema, (session) => complete(session, schema, 'updated'))
      }
      if (size === 0) return report
      const room = { size, digest, runtimeLogin: await requireRuntimeLogin(db) }
      // What one new home cannot have, the next cannot either.
      for (let goesOn = true; goesOn && !isStopped();) {
        const schema = newHomeName()
        const made = await alone(
          schema,
          async (session) =>
            (await reserveHome(session, schema, room)) && (await complete(session, schema, 'made')),
        )
        goesOn = made ?? false
      }
      return report
    },

    async status() {
      const homes = await list()
      const count = (state: ReadyHome['state']): number => homes.filter((home) => home.state === state).length
      return {
        ready: count('ready'),
        stale: count('stale'),
        unfinished: count('unfinished'),
        lost: count('lost'),
        homes,
      }
    },

    async drain({ stale = false } = {}) {
      let dropped = 0
      for (const { schema, state } of await list()) {
        if (stale && state === 'ready') continue
        if (await drop(schema)) dropped++
      }
      return { dropped }
    },
  }
}

function stateOf({ state, lost, digest }: ReadyHomeRow, newest: string): ReadyHome['state'] {
  if (lost) return 'lost'
  if (state !== 'ready') return 'unfinished'
  return digest === newest ? 'ready' : 'stale'
}
