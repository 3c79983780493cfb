/** What a run over the fleet tells while it goes on. */
import type { TenantryError } from '../../core/errors.ts'
import type { WaveResult } from '../../core/waves.ts'
import type { GateAttempt } from './health-gate.ts'
import type { Runner } from './runner-lock.ts'

/** Told after the shared set and after each tenant. */
export interface MigrationProgress {
  /** Targets finished, failed ones included: the shared set counts as one, and so do all tenants that share tables. */
  readonly done: number
  readonly total: number
  readonly failed: number
  /** The tenant's key, `shared`, or `shared tenants`. */
  readonly tenant: string
  /** Names that ran now, or were undone. */
  readonly applied: readonly string[]
  /** The name of the wave; `undefined` for the shared set. */
  readonly wave: string | undefined
  /** Targets finished each second, lately; `undefined` at the beginning. */
  readonly perSecond: number | undefined
  /** Milliseconds that the rest takes at that rate, without pauses and gates. */
  readonly leftMs: number | undefined
}

/** One thing that happened. */
export type MigrationEvent =
  /** Another runner is at work, and is waited for. */
  | { readonly type: 'waiting'; readonly runner: Runner | undefined }
  | { readonly type: 'wave'; readonly wave: string; readonly place: number; readonly tenants: number }
  | {
      readonly type: 'tenant'
      readonly tenant: string
      readonly applied: readonly string[]
      readonly tookMs: number
      readonly error?: TenantryError
    }
  | ({ readonly type: 'wave-done'; readonly tookMs: number } & WaveResult)
  | { readonly type: 'pause'; readonly wave: string; readonly ms: number }
  | ({ readonly type: 'gate'; readonly wave: string } & GateAttempt)
  /** The signal came: what is under way is ended, and nothing more begun. */
  | { readonly type: 'stopping' }
  /** Parts of a data migration that ran in one tenant. */
  | { readonly type: 'batch'; readonly tenant: string; readonly migration: string; readonly rows: number }
