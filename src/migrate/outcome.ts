/** What became of one target of migrations. */
import { TenantryError } from '../core/errors.ts'
import type { Ledger } from './ledger/ledger.ts'

export interface Outcome {
  /** Names that ran, before the failure too. */
  readonly applied: readonly string[]
  readonly error?: TenantryError | undefined
  /** The migration that cannot run there, of any kind. */
  readonly refused?: string | undefined
  /** What its ledger said before, where it was read on the spot alone. */
  readonly ledger?: Ledger | undefined
  /** It was left between two migrations, because the run is to end. */
  readonly stopped?: boolean
}

/** Ends the work on one target where a step was committed. */
class StoppedHere extends Error {}

/**
 * What ran, and the failure that ended it. An error that is not about the target, such as a lost connection, is thrown.
 * @param signal ends it behind the step that it is at, unless that is the last.
 * @param last the name of the last migration.
 */
export async function collect(
  apply: (onApplied: (name: string) => void) => Promise<void>,
  signal?: AbortSignal,
  last?: string,
): Promise<Outcome> {
  const applied: string[] = []
  try {
    await apply((name) => {
      applied.push(name)
      if (signal?.aborted === true && name !== last) throw new StoppedHere()
    })
    return { applied }
  } catch (error) {
    if (error instanceof StoppedHere) return { applied, stopped: true }
    if (!isAboutTarget(error)) throw error
    return { applied, error }
  }
}

/** Anything else means that the session is gone. */
function isAboutTarget(error: unknown): error is TenantryError {
  return error instanceof TenantryError && /^TNY4(0[237]|1[5-9]|24)$/.test(error.code)
}
