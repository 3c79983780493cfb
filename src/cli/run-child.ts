/** Runs another program in our place: its terminal, its signals, its exit code. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { TenantryError } from '../core/errors.ts'

const FORWARDED: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGWINCH']

/**
 * Resolves to the exit code to end with; a program that a signal ended counts as 128 and the signal's number, as in a
 * shell.
 * @param advice what to do where the program does not exist.
 * @throws TNY033 where it cannot be run.
 */
export async function runChild(
  command: readonly string[],
  environment: NodeJS.ProcessEnv,
  advice: string,
): Promise<number> {
  const [program = '', ...args] = command
  const child = spawn(program, args, { stdio: 'inherit', env: environment })
  const forward = (signal: NodeJS.Signals): void => {
    // A terminal sends Ctrl-C to the program itself as well: twice would be harder than what was typed.
    if (signal === 'SIGINT' && process.stdin.isTTY) return
    child.kill(signal)
  }
  for (const signal of FORWARDED) process.on(signal, forward)
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (error: NodeJS.ErrnoException) => reject(cannotRun(program, error, advice)))
      child.once('exit', (code, signal) =>
        resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
      )
    })
  } finally {
    for (const signal of FORWARDED) process.off(signal, forward)
  }
}

function cannotRun(program: string, error: NodeJS.ErrnoException, advice: string): TenantryError {
  const reason =
    error.code === 'ENOENT'
      ? 'it was not found'
      : error.code === 'EACCES'
        ? 'it is not executable'
        : error.message
  return new TenantryError('TNY033', { params: { program, reason, advice }, cause: error })
}
