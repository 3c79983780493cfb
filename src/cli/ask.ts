/** Questions on the terminal. */
import { createInterface } from 'node:readline/promises'
import { TenantryError } from '../core/errors.ts'

/** Whether somebody is there who could answer. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY
}

/**
 * Asks one question on stderr, so that stdout stays the result alone.
 * @throws TNY037 where the answer is cut off by Ctrl-C or Ctrl-D.
 */
export async function ask(question: string, preset?: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const abort = new AbortController()
  terminal.once('SIGINT', () => abort.abort())
  terminal.once('close', () => abort.abort())
  try {
    const shown = preset === undefined ? '' : ` [${preset}]`
    const answer = (await terminal.question(`${question}${shown}: `, { signal: abort.signal })).trim()
    return answer === '' ? (preset ?? '') : answer
  } catch (error) {
    if (abort.signal.aborted) throw new TenantryError('TNY037')
    throw error
  } finally {
    terminal.close()
  }
}
