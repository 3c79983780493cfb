/** Where errors go that strangers must not see, as long as the application names no better place. */

/** Text for an operator: the stack, and the stacks of the causes. Properties stay out, they may hold secrets. */
function trace(error: unknown, depth = 0): string {
  if (!(error instanceof Error)) return String(error)
  const text = error.stack ?? `${error.name}: ${error.message}`
  return error.cause === undefined || depth === 5
    ? text
    : `${text}\ncaused by ${trace(error.cause, depth + 1)}`
}

/** Writes an error to standard error. */
export function reportToStderr(error: unknown): void {
  process.stderr.write(`${trace(error)}\n`)
}
