/** What becomes of an error of a request: its answer, who hears of it, and when nobody must. Framework-free. */
import { TenantryError } from '../core/errors.ts'
import { problemOf, tenantryCause } from './problem.ts'
import type { Problem } from './problem.ts'
import { reportToStderr } from './report.ts'

/** What the error handler of an adapter may be told. `R` is the framework's request. */
export interface ProblemOptions<R> {
  /** Hears every error that is the service's own fault (5xx), for a logger. Writes to standard error by default. */
  readonly onError?: (error: unknown, request: R) => void
}

/** The request in which something failed. */
export interface Failed<R> {
  readonly request: R
  /** The tenant that it was served for. */
  readonly tenantId: string | undefined
  /** Whether a part of the answer is out already. */
  readonly begun: boolean
}

/**
 * What to do: answer; `'break'`: half an answer is out, and only a broken connection tells the client that the rest is
 * missing; `'nothing'`: the client is gone.
 */
export type Outcome = Problem | 'break' | 'nothing'

/** Headers that described the answer which is not coming. Others stay: without CORS's, browsers hide the problem. */
export const STALE_HEADERS = [
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-range',
  'etag',
  'expires',
  'last-modified',
  'set-cookie',
  'transfer-encoding',
]

/** Builds the decision that every adapter's error handler makes. */
export function createFailures<R>(
  options: ProblemOptions<R>,
): (error: unknown, failed: Failed<R>) => Outcome {
  const onError = options.onError ?? reportToStderr

  function report(error: unknown, request: R): void {
    try {
      onError(error, request)
    } catch (failure) {
      // A framework would answer a second time, with the stack.
      process.emitWarning(failure instanceof Error ? failure : String(failure))
    }
  }

  return (error, { request, tenantId, begun }) => {
    // Nobody reads an answer, and nothing failed.
    if (tenantryCause(error)?.code === 'TNY107') return 'nothing'
    if (begun) {
      report(error, request)
      return 'break'
    }
    const problem = problemOf(lostTenant(error, tenantId) ? new TenantryError('TNY101') : error)
    if (problem.status >= 500 && !isClosing(error)) report(error, request)
    return problem
  }
}

/** The answer to a request that no route took. */
export function noRoute(): Problem {
  return problemOf({ status: 404 })
}

/** HTTP/2 has no `connection`, and ends its connections by itself. */
export function problemHeaders({ headers }: Problem, httpVersionMajor: number): Record<string, string> {
  const { connection, ...others } = headers
  return httpVersionMajor === 1 && connection !== undefined ? { ...others, connection } : others
}

/** Suspended or erased while it was being served: the answer is the one that the next request gets (I3). */
function lostTenant(error: unknown, tenantId: string | undefined): boolean {
  return (
    error instanceof TenantryError &&
    (error.code === 'TNY209' || error.code === 'TNY211') &&
    error.tenantId !== undefined &&
    error.tenantId === tenantId
  )
}

function isClosing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'TNY106'
}
