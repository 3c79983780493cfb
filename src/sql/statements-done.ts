/** How many statements of a message had ended when one of them failed: PostgreSQL gives many errors no position. */

const DONE = Symbol('statements done')

/** Notes it on the error. */
export function noteStatementsDone(error: unknown, count: number): void {
  if (error instanceof Error) Object.assign(error, { [DONE]: count })
}

/** `undefined` where the connection does not count them. */
export function statementsDone(error: unknown): number | undefined {
  return error instanceof Error ? (error as { [DONE]?: number })[DONE] : undefined
}
