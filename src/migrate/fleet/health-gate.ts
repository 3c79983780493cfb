/** Asks whether the service is well: a command, a query, an HTTP address, or a function. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AdminDatabase } from '../../core/database.ts'
import { type Gate, type WaveResult } from '../../core/waves.ts'

/** What one attempt at a gate found. */
export interface GateAttempt {
  /** The gate, for people: an address without what may be secret in it. */
  readonly gate: string
  /** From 1. */
  readonly attempt: number
  readonly attempts: number
  /** `undefined`: it is well. */
  readonly problem: string | undefined
}

export interface GateOptions {
  readonly db: AdminDatabase
  readonly wave: WaveResult
  readonly signal?: AbortSignal | undefined
  readonly onAttempt: (attempt: GateAttempt) => void
}

/**
 * Asks until it is well, its attempts are used up, or the signal comes.
 * @returns why the gate is not well; `undefined` where it is, or where the signal came.
 */
export async function askGate(gate: Gate, options: GateOptions): Promise<string | undefined> {
  const { timeoutMs = 60_000, retries = 0, intervalMs = 10_000 } = gate
  const { signal, onAttempt } = options
  for (let attempt = 1; ; attempt++) {
    const limit = AbortSignal.timeout(timeoutMs)
    const either = signal === undefined ? limit : AbortSignal.any([limit, signal])
    const problem = await withLimit(askOnce(gate, options, either, timeoutMs), either).catch(
      (error: unknown) => (limit.aborted ? `it took longer than ${timeoutMs} ms` : wordsOf(error)),
    )
    if (signal?.aborted === true) return undefined
    onAttempt({ gate: nameOfGate(gate), attempt, attempts: retries + 1, problem })
    if (problem === undefined || attempt > retries) return problem
    await sleep(intervalMs, undefined, { signal }).catch(() => undefined)
  }
}

/** A gate for people. */
export function nameOfGate({ command, sql, http, check }: Gate): string {
  if (command !== undefined) return `the command ${typeof command === 'string' ? command : command.join(' ')}`
  if (sql !== undefined) return `the query ${sql.trim().replace(/\s+/g, ' ').slice(0, 80)}`
  if (http === undefined) return `the function ${check?.name || 'check'}`
  const { origin, pathname } = new URL(http)
  return origin + pathname
}

function askOnce(
  { command, sql, http, status, check }: Gate,
  { db, wave }: GateOptions,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<string | undefined> {
  if (command !== undefined) return askCommand(command, wave, signal)
  if (sql !== undefined) return askQuery(sql, db, timeoutMs)
  if (http !== undefined) return askHttp(http, status, signal)
  return askFunction(() => check?.(wave, signal))
}

/** What does not end by the signal is not waited for. */
async function withLimit<T>(asked: Promise<T>, signal: AbortSignal): Promise<T> {
  // One that is left alone may still fail.
  asked.catch(() => undefined)
  signal.throwIfAborted()
  const ended = new AbortController()
  const limit = once(signal, 'abort', { signal: ended.signal }).then((): never => {
    throw new Error('it took too long')
  })
  limit.catch(() => undefined)
  try {
    return await Promise.race([asked, limit])
  } finally {
    ended.abort()
  }
}

/** How much of a command's last words an error repeats. */
const TAIL = 500

/** The words go into the error alone: stdout belongs to the run's own report. */
async function askCommand(
  command: string | readonly string[],
  wave: WaveResult,
  signal: AbortSignal,
): Promise<string | undefined> {
  const [program = '', ...args] = typeof command === 'string' ? [command] : command
  const child = spawn(program, args, {
    shell: typeof command === 'string',
    // A group of its own: the shell's children end with it, and Ctrl-C on the terminal ends the run's wave, not its gate.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      TENANTRY_WAVE: wave.name,
      TENANTRY_WAVE_MIGRATED: String(wave.migrated),
      TENANTRY_WAVE_FAILED: String(wave.failed),
    },
  })
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It ended by itself.
    }
  }
  signal.addEventListener('abort', end, { once: true })
  let tail = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (tail = (tail + text).slice(-TAIL)))
  }
  try {
    const [code, killedBy] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    if (code === 0) return undefined
    const words = tail.trim() === '' ? '' : `: ${tail.trim()}`
    return `it ended with ${code === null ? killedBy : `exit code ${code}`}${words}`
  } finally {
    signal.removeEventListener('abort', end)
  }
}

async function askQuery(sql: string, db: AdminDatabase, timeoutMs: number): Promise<string | undefined> {
  const { rows } = await db.transaction(async (tx) => {
    await tx.query(`set transaction read only; set local statement_timeout = ${timeoutMs}`)
    return tx.query(sql)
  })
  const value = Object.values(rows[0] ?? {})[0]
  // Applications replace node-postgres' parsers.
  if (value === true || value === 't' || value === 'true') return undefined
  return rows[0] === undefined ? 'it gave no row' : `it gave ${JSON.stringify(value)}`
}

async function askHttp(
  address: string,
  expected: Gate['status'],
  signal: AbortSignal,
): Promise<string | undefined> {
  const { username, password, href } = withoutLogin(address)
  const headers: Record<string, string> = { 'user-agent': 'tenantry' }
  // fetch() refuses addresses with a login in them.
  if (username !== '')
    headers['authorization'] = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  const response = await fetch(href, { signal, redirect: 'manual', headers })
  await response.body?.cancel()
  const wanted = expected === undefined ? undefined : [expected].flat()
  const well = wanted === undefined ? response.ok : wanted.includes(response.status)
  return well ? undefined : `it answered with ${response.status}`
}

function withoutLogin(address: string): { username: string; password: string; href: string } {
  const url = new URL(address)
  const [username, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)]
  url.username = url.password = ''
  return { username, password, href: url.href }
}

async function askFunction(check: () => unknown): Promise<string | undefined> {
  return (await check()) === false ? 'it gave false' : undefined
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error && error.cause.message !== '' ? ` (${error.cause.message})` : ''
  return `${error.message}${cause}`
}
