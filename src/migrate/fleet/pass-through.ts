/** Goes through the fleet once: wave by wave, several tenants at a time, with a look at the service's health between waves. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { Outcome } from '../outcome.ts'
import type { FleetMember } from './fleet-members.ts'
import { askGate } from './health-gate.ts'
import type { PlannedWave, WavePlan } from './plan-waves.ts'
import type { MigrationEvent } from './run-events.ts'
import type { Tally } from './tally.ts'
import { workThrough } from './work-through.ts'

/** What a pass does, and with what. */
export interface Pass {
  readonly db: AdminDatabase
  /** That of the lock. */
  readonly session: Queryable
  readonly plan: WavePlan
  /** How many tenants of one server at a time. */
  readonly workers: number
  readonly tally: Tally
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: ((event: MigrationEvent) => void) | undefined
  /** False: neither gates nor pauses, as in a dry run. */
  readonly gated: boolean
  /** All tenants that share tables; they come first in their wave, and alone. */
  together(session: Queryable, member: FleetMember): Promise<Outcome>
  /** One tenant of the catalog's database. */
  here(session: Queryable, member: FleetMember): Promise<Outcome>
  /** One tenant with a database of its own. */
  there(elsewhere: AdminDatabase, member: FleetMember): Promise<Outcome>
  /** Told of each outcome before it is counted. */
  settle(member: FleetMember, outcome: Outcome): Promise<void>
}

/** The members of each wave. */
export type Roster = readonly (readonly FleetMember[])[]

/** Ends early where the signal comes, or a wave or gate is not well; the tally says so. */
export async function passThrough(pass: Pass, roster: Roster): Promise<void> {
  const { plan, tally, signal } = pass
  // Connections of its own, so that sign-ups go on meanwhile.
  const workersDb = pass.db.apart(pass.workers)
  try {
    for (const [place, wave] of plan.waves.entries()) {
      const members = roster[place] ?? []
      const someLeft = roster.slice(place + 1).some((later) => later.length > 0)
      if (members.length > 0) await runWave(pass, workersDb, wave, place, members)
      if (members.length > 0 || someLeft) await lookAfter(pass, wave, members.length > 0)
      if (signal?.aborted === true || tally.stopped()) return
    }
  } finally {
    await workersDb.close()
  }
}

async function runWave(
  pass: Pass,
  workersDb: AdminDatabase,
  wave: PlannedWave,
  place: number,
  members: readonly FleetMember[],
): Promise<void> {
  const { session, workers, tally, signal } = pass
  tally.startWave(wave.name, place, members.length)
  const kinds = Map.groupBy(members, kindOf)

  async function finish(member: FleetMember, work: () => Promise<Outcome>): Promise<void> {
    const startedAt = performance.now()
    const outcome = await work()
    if (outcome.stopped === true) return tally.noteStopped(member, outcome)
    await pass.settle(member, outcome)
    tally.note(member, outcome, performance.now() - startedAt)
  }
  /** None begins once the signal came. */
  const taker = (kind: ReturnType<typeof kindOf>): (() => FleetMember | undefined) => {
    const waiting = kinds.get(kind)?.values()
    return () => (signal?.aborted === true ? undefined : waiting?.next().value)
  }
  const inLine = (fn: (session: Queryable) => Promise<void>): Promise<void> => fn(session)
  await workThrough(inLine, 1, taker('together'), (_, member) =>
    finish(member, () => pass.together(session, member)),
  )
  // One kind after the other: a session that waits here would be one more beside those there.
  await workThrough(workersDb.session, workers, taker('here'), (own, member) =>
    finish(member, () => pass.here(own, member)),
  )
  await workThrough(inLine, workers, taker('there'), (_, member) =>
    finish(member, () => pass.there(workersDb.inDatabase(member.database ?? ''), member)),
  )
  tally.endWave()
}

function kindOf({ database, members }: FleetMember): 'together' | 'here' | 'there' {
  if (members !== undefined) return 'together'
  return database === undefined ? 'here' : 'there'
}

/** Whether the next wave may begin. */
async function lookAfter(pass: Pass, wave: PlannedWave, ran: boolean): Promise<void> {
  const { db, tally, signal, onEvent, gated } = pass
  const result = ran ? tally.waveSoFar() : { name: wave.name, tenants: 0, migrated: 0, failed: 0 }
  const stop = (reason: string): void =>
    tally.stop(new TenantryError('TNY421', { params: { wave: wave.name, reason, left: tally.left() } }))
  const ended = (): boolean => signal?.aborted === true
  if (ended() || !gated) return
  if (wave.maxFailures !== undefined && result.failed > wave.maxFailures) {
    return stop(`${result.failed} of its ${result.tenants} tenants failed`)
  }
  if (ran && wave.pauseMs > 0) {
    onEvent?.({ type: 'pause', wave: wave.name, ms: wave.pauseMs })
    await sleep(wave.pauseMs, undefined, { signal }).catch(() => undefined)
  }
  for (const gate of wave.gates) {
    if (ended()) return
    const problem = await askGate(gate, {
      db,
      wave: result,
      signal,
      onAttempt: (attempt) => onEvent?.({ type: 'gate', wave: wave.name, ...attempt }),
    })
    if (problem !== undefined) return stop(`its gate is not well: ${problem}`)
  }
}
