/** Ends this process in order when the process that started it (bootstrap.mjs, a test) was killed. */

/**
 * Sends SIGTERM to this process once its parent is gone, so that its one handler for the orderly end
 * covers that as well. bootstrap.mjs names itself in TENANTRY_PARENT; without that nothing is watched.
 * The watch does not keep the process alive. Returns the way to end it.
 *
 * @example
 * process.once('SIGTERM', () => void close())
 * const unwatch = endWithParent()
 */
export function endWithParent(): () => void {
  const parent = Number(process.env['TENANTRY_PARENT'])
  // Not for the processes that this one starts: their parent is another.
  delete process.env['TENANTRY_PARENT']
  // Another parent from the start: the name came down from a process further up, which is not ours to watch.
  if (process.ppid !== parent) return () => undefined
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    process.kill(process.pid, 'SIGTERM')
  }, 250)
  timer.unref()
  return () => clearInterval(timer)
}
