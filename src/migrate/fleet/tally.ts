/** Keeps count of a run: what it tells while it goes on, and the report at its end. */
import type { TenantryError } from '../../core/errors.ts'
import type { WaveResult } from '../../core/waves.ts'
import type { Outcome } from '../outcome.ts'
import type { FailedTenant, MigratedTenant, MigrationReport, QuarantinedTenant } from './migration-report.ts'
import { createPace } from './pace.ts'
import type { MigrationEvent, MigrationProgress } from './run-events.ts'

/** Who hears of a run. */
export interface Listeners {
  readonly onProgress?: ((progress: MigrationProgress) => void) | undefined
  readonly onEvent?: ((event: MigrationEvent) => void) | undefined
}

/** One target, as a report names it. */
export interface Line {
  readonly key: string
  /** How many tenants it stands for, where they share tables. */
  readonly members?: number | undefined
}

export interface Tally {
  /** Adds targets that the run is going to come to. */
  expect(targets: number): void
  /** Targets that are up to date already. */
  unchanged(tenants: number): void
  /** Counts the shared set. */
  shared(applied: readonly string[]): void
  quarantined(tenant: QuarantinedTenant): void
  heldBack(migration: string): void
  startWave(name: string, place: number, tenants: number): void
  note(line: Line, outcome: Outcome, tookMs: number): void
  /** A target that was left between two of its migrations: it counts as not come to. */
  noteStopped(line: Line, outcome: Outcome): void
  /** A failure that was found before its turn came; it is not counted again then. */
  failedBefore(line: Line, outcome: Outcome): void
  /** Takes failures back: of tenants that are gone. */
  forgive(keys: readonly string[]): void
  waveSoFar(): WaveResult
  endWave(): void
  /** Targets that were expected and not come to. */
  left(): number
  stop(error: TenantryError): void
  stopped(): boolean
  report(): MigrationReport
}

/** How many tenants are named as the slowest. */
const SLOWEST = 5

type Growing<R> = { -readonly [K in keyof R]: R[K] extends readonly (infer Item)[] ? Item[] : R[K] }

export function createTally({ onProgress, onEvent }: Listeners, dryRun = false): Tally {
  const startedAt = performance.now()
  const tenants: MigratedTenant[] = []
  let failed: FailedTenant[] = []
  const quarantined: QuarantinedTenant[] = []
  const waves: Growing<MigrationReport>['waves'] = []
  /** One array for all tenants of which the same ran: there may be very many. */
  const lists = new Map<string, readonly string[]>()
  const shared: string[] = []
  let slowest: { key: string; tookMs: number }[] = []
  let [total, done, failures, unchanged] = [0, 0, 0, 0]
  let wave = { name: '', tenants: 0, migrated: 0, failed: 0 }
  let waveStartedAt = startedAt
  let heldBack: string | undefined
  let stopped: TenantryError | undefined
  let pace = createPace()

  function tell(tenant: string, applied: readonly string[], inWave: string | undefined): void {
    onProgress?.({
      done,
      total,
      failed: failures,
      tenant,
      applied,
      wave: inWave,
      perSecond: pace.perSecond(),
      leftMs: pace.untilDone(total - done),
    })
  }

  function once(names: readonly string[]): readonly string[] {
    const text = names.join('\0')
    const known = lists.get(text)
    if (known !== undefined) return known
    lists.set(text, names)
    return names
  }

  return {
    expect: (targets) => void (total += targets),
    unchanged: (count) => void (unchanged += count),
    shared(applied) {
      shared.push(...applied)
      done++
      tell('shared', applied, undefined)
    },
    quarantined: (tenant) => void quarantined.push(tenant),
    heldBack: (migration) => void (heldBack = migration),
    startWave(name, place, count) {
      wave = { name, tenants: count, migrated: 0, failed: 0 }
      waveStartedAt = performance.now()
      pace = createPace()
      onEvent?.({ type: 'wave', wave: name, place, tenants: count })
    },
    note({ key, members }, { applied: names, error }, tookMs) {
      const applied = once(names)
      const line = members === undefined ? { key, applied } : { key, applied, members }
      done++
      pace.note()
      if (error !== undefined) {
        if (!failed.some((one) => one.key === key)) failed.push({ ...line, error })
        failures = failed.length
        wave.failed++
      } else if (applied.length > 0) {
        tenants.push(line)
        wave.migrated++
      } else {
        unchanged += members ?? 1
      }
      if (applied.length > 0) {
        slowest.push({ key, tookMs: Math.round(tookMs) })
        slowest = slowest.sort((one, other) => other.tookMs - one.tookMs).slice(0, SLOWEST)
      }
      onEvent?.({
        type: 'tenant',
        tenant: key,
        applied,
        tookMs: Math.round(tookMs),
        ...(error === undefined ? {} : { error }),
      })
      tell(key, applied, wave.name)
    },
    noteStopped({ key, members }, { applied }) {
      if (applied.length > 0) tenants.push({ key, applied, ...(members === undefined ? {} : { members }) })
    },
    failedBefore({ key, members }, { error }) {
      if (error === undefined) return
      failed.push({ key, applied: [], error, ...(members === undefined ? {} : { members }) })
      failures = failed.length
    },
    forgive: (keys) => void (failed = failed.filter(({ key }) => !keys.includes(key))),
    waveSoFar: () => ({ ...wave }),
    endWave() {
      const tookMs = Math.round(performance.now() - waveStartedAt)
      waves.push({ ...wave, tookMs })
      onEvent?.({ type: 'wave-done', ...wave, tookMs })
    },
    left: () => total - done,
    stop: (error) => void (stopped ??= error),
    stopped: () => stopped !== undefined,
    report: () => ({
      shared,
      tenants,
      unchanged,
      failed,
      quarantined,
      ...(heldBack === undefined ? {} : { heldBack }),
      ...(stopped === undefined ? {} : { stopped: { left: total - done, error: stopped } }),
      ...(dryRun ? { dryRun } : {}),
      waves,
      slowest,
      tookMs: Math.round(performance.now() - startedAt),
    }),
  }
}
