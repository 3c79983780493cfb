/** Runs what is left of an operation: each step's effect and its mark are one commit. */
import { markSteps, type Operation, recordFailure } from '../catalog/operations.ts'
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'

/**
 * A step. It calls `mark` inside the transaction of its effect. One that does not is safe to repeat, and is noted with the
 * next that does: the last one always does.
 */
export interface Step {
  readonly name: string
  run(mark: () => Promise<void>): Promise<void>
}

/** Told after each step, finished ones of an earlier attempt included. */
export type OnStep = (step: string, done: number, total: number) => void

/** The errors that say nothing about the step: the caller sees them as they are. */
const PASSED_ON = new Set(['TNY202', 'TNY203', 'TNY206', 'TNY212', 'TNY305'])

/**
 * The last step ends the operation by itself, in the transaction of its effect. A failure is kept in the catalog.
 * @throws TNY306 with what went wrong as its cause.
 */
export async function runSteps(
  session: Queryable,
  operation: Pick<Operation, 'id' | 'kind' | 'steps'>,
  label: string,
  steps: readonly Step[],
  onStep: OnStep | undefined,
): Promise<void> {
  let unmarked: string[] = []
  for (const [index, step] of steps.entries()) {
    if (!operation.steps.includes(step.name)) {
      const before = unmarked
      const names = [...before, step.name]
      unmarked = names
      try {
        await step.run(async () => {
          await markSteps(session, operation, names)
          unmarked = []
        })
      } catch (error) {
        throw await keepFailure(session, operation, { label, step: step.name, finished: before, error })
      }
    }
    onStep?.(step.name, index + 1, steps.length)
  }
}

/** What went wrong, and where. */
export interface StepFailure {
  /** For the error: the tenant's key. */
  readonly label: string
  readonly step: string
  /** Steps before it that are not marked yet. */
  readonly finished: readonly string[]
  readonly error: unknown
}

/** Keeps why a step failed. @returns what its caller throws: TNY306, or an error that says nothing about the step. */
export async function keepFailure(
  session: Queryable,
  operation: Pick<Operation, 'id' | 'kind'>,
  { label, step, finished, error }: StepFailure,
): Promise<TenantryError> {
  if (error instanceof TenantryError && PASSED_ON.has(error.code)) return error
  const reason = describe(error)
  // Only for people who look later: the steps alone decide what is left to do.
  await recordFailure(session, operation, `${step}: ${reason}`, finished).catch(() => undefined)
  return new TenantryError('TNY306', {
    params: { operation: operation.kind, tenant: label, step, reason },
    cause: error,
  })
}

/** PostgreSQL's detail too: it names what stands in the way. */
function describe(error: unknown): string {
  const message = (error instanceof Error ? error.message : String(error)).replace(/\.$/, '')
  const detail: unknown = error instanceof Error ? Reflect.get(error, 'detail') : undefined
  return typeof detail === 'string' && detail !== ''
    ? `${message} (${detail.replaceAll('\n', '; ')})`
    : message
}
