/** Runs PostgreSQL's programs so that they end in order when this process stops them, and also when it dies. */
import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { Account } from './account.ts'
import { serverTag, signal } from './processes.ts'

/**
 * A shell stands between: it holds one end of a pipe whose other end is ours. When that end closes, on
 * purpose or because we were killed, the shell asks the program for a fast shutdown (SIGINT), after 10 s
 * for an immediate one (SIGQUIT), after 15 s it kills. It has a session of its own, so that Ctrl-C in the
 * terminal reaches us alone and the application drains before its database goes.
 * SIGINT is sent again and again: a shell starts background programs with SIGINT ignored, and one sent
 * before the program has set its own handler would be lost.
 */
const SCRIPT = `
exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
(
  read -r _ <&3
  n=0
  while kill -0 $program 2>/dev/null; do
    if [ $n -lt 100 ]; then kill -INT $program; elif [ $n -lt 150 ]; then kill -QUIT $program; else kill -KILL $program; fi
    n=$((n + 1))
    sleep 0.1 2>/dev/null || sleep 1
  done
) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait $program
status=$?
kill $watcher 2>/dev/null
exit $status
`

/** What to run, where and as whom. */
export interface Command {
  readonly file: string
  readonly args: readonly string[]
  /** The data folder: the program starts in it, and is found by it. */
  readonly cwd: string
  readonly account: Account | undefined
  /** Where its output goes: an open file, or 'pipe' to read it through `output`. */
  readonly log: number | 'pipe'
}

/** A program under supervision. */
export interface Supervised {
  /** Its exit code once it is gone; 128 and more for a signal, -1 where it could not be run at all. */
  readonly ended: Promise<number>
  /** Why it could not be run at all. */
  failure(): Error | undefined
  /** What it printed so far, where `log` is 'pipe'. */
  output(): string
  /** Ends it in order and waits. */
  stop(): Promise<void>
}

/** The environment of PostgreSQL's programs: none of the caller's PG* variables, plain English messages. */
export const PROGRAM_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/local/bin:/usr/bin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
}

/** Starts a program; it runs until it ends by itself, is stopped, or this process is gone. */
export function supervise(command: Command): Supervised {
  const child = spawn(
    '/bin/sh',
    ['-c', SCRIPT, serverTag(command.cwd) ?? 'tenantry', command.file, ...command.args],
    {
      cwd: command.cwd,
      env: PROGRAM_ENVIRONMENT,
      detached: true,
      stdio: ['pipe', command.log, command.log],
      ...command.account,
    },
  )
  let output = ''
  let failure: Error | undefined
  const collect = (stream: Readable | null): void => {
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  collect(child.stdout)
  collect(child.stderr)
  // Closing the pipe after the shell has gone is no error.
  child.stdin?.on('error', () => undefined)
  const ended = new Promise<number>((resolve) => {
    child.once('error', (error) => {
      failure = error
      resolve(-1)
    })
    child.once('close', (code, signalName) => resolve(code ?? (signalName === null ? -1 : 128)))
  })
  const stop = async (): Promise<void> => {
    child.stdin?.end()
    const last = setTimeout(() => child.pid !== undefined && signal(-child.pid, 'SIGKILL'), 20_000)
    await ended
    clearTimeout(last)
  }
  return { ended, failure: () => failure, output: () => output, stop }
}
