/** Programs of this project as processes: their output, their end, and whatever of them is still there. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { findServerProcesses } from '../../dev/processes.ts'

/** The folder of this repository. */
export const PROJECT = fileURLToPath(new URL('../../', import.meta.url))
/** The Node of this test, with the condition under which `tenantry` is src/. */
export const RUN: readonly string[] = [process.execPath, '--conditions=tenantry-dev']

/** How a process ended. */
export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A program that was started; `end` it in any case. */
export interface Program {
  readonly pid: number
  /** Standard output and standard error, so far. */
  stdout(): string
  stderr(): string
  /** Resolves once standard output holds the text; rejects if the program ends before, or it takes too long. */
  said(text: string, timeoutMs?: number): Promise<void>
  /** Once it has ended and its output is complete. */
  readonly ended: Promise<Ending>
  /** To this process alone. */
  signal(name: NodeJS.Signals): void
  /** To its whole process group, as a terminal does for Ctrl-C. */
  signalGroup(name: NodeJS.Signals): void
}

/**
 * Starts a command in a process group of its own. Of this process' environment it inherits PATH and HOME alone, so
 * that npm, vitest and the developer's own settings stay out of it.
 */
export function startProgram(command: readonly string[], env: Readonly<Record<string, string>>): Program {
  const [file = '', ...args] = command
  const { PATH = '', HOME = '' } = process.env
  const child: ChildProcess = spawn(file, args, {
    cwd: PROJECT,
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const text = { out: '', err: '' }
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text.out += chunk))
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (text.err += chunk))
  const state = { done: false }
  const ended = new Promise<Ending>((done, fail) => {
    child.once('error', fail)
    child.once('close', (code, signal) => {
      state.done = true
      done({ code, signal })
    })
  })
  ended.catch(() => (state.done = true))
  const pid = child.pid ?? 0
  return {
    pid,
    stdout: () => text.out,
    stderr: () => text.err,
    async said(wanted, timeoutMs = 25_000) {
      const deadline = performance.now() + timeoutMs
      while (!text.out.includes(wanted)) {
        if (state.done || performance.now() > deadline) {
          throw new Error(`it did not say "${wanted}" but:\n${text.out}${text.err}`)
        }
        await sleep(10)
      }
    },
    ended,
    signal: (name) => void child.kill(name),
    signalGroup: (name) => void (pid > 0 && !state.done && process.kill(-pid, name)),
  }
}

/** A process that belongs to a folder. */
export interface FoundProcess {
  readonly pid: number
  /** Its command line, for finding the part that is meant. */
  readonly command: string
}

/**
 * Every process that was given a folder in its environment, and those of the database servers in it: a demo with all
 * that stands above and below it. Asks the system (Linux), because a list kept by the test would miss what escaped.
 */
export function processesOf(folder: string): FoundProcess[] {
  if (!existsSync('/proc/self/environ') || !existsSync(folder)) return []
  const clusters = readdirSync(folder).filter((name) => name.startsWith('postgres'))
  const servers = new Set(clusters.flatMap((name) => findServerProcesses(join(folder, name, 'data'))))
  const found: FoundProcess[] = []
  for (const pid of readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)) {
    const environment = readProcess(pid, 'environ').split('\0')
    const isMeant = servers.has(pid) || environment.some((entry) => entry.endsWith(`=${folder}`))
    const command = readProcess(pid, 'cmdline').replaceAll('\0', ' ').trim()
    if (isMeant && pid !== process.pid && command !== '') found.push({ pid, command })
  }
  return found
}

function readProcess(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    // It ended in between, or is another user's.
    return ''
  }
}

/** Ends what a failed test may have left in a folder. */
export function endProcessesOf(folder: string): void {
  for (const { pid } of processesOf(folder)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended in between.
    }
  }
}
