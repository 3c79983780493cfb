/** What runs on this machine: who a pid really is, and which PostgreSQL processes live in a data folder. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process that cannot be confused with a later one of the same pid. */
export interface ProcessIdentity {
  readonly pid: number
  /** When it started, in whatever form this system tells; only ever compared. */
  readonly started: string
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function listProcesses(format: string, pid?: number): string {
  try {
    const which = pid === undefined ? ['-ax'] : ['-p', String(pid)]
    return execFileSync('ps', [...which, '-o', format], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  } catch {
    return ''
  }
}

/** Whether this system shows its processes as files (Linux). Elsewhere `ps` is asked. */
function hasProc(): boolean {
  return existsSync('/proc/self/stat')
}

/** Who runs under this pid now; undefined for nobody, or for a dead process that was not collected yet. */
export function identify(pid: number): ProcessIdentity | undefined {
  if (!hasProc()) {
    const started = listProcesses('lstart=', pid).trim()
    return started === '' ? undefined : { pid, started }
  }
  const stat = read(`/proc/${pid}/stat`)
  if (stat === undefined) return undefined
  // The name in brackets may hold anything, so fields count from the last bracket (proc_pid_stat(5)).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined
  const boot = read('/proc/sys/kernel/random/boot_id')?.trim() ?? ''
  return { pid, started: `${boot}:${fields[19] ?? ''}` }
}

/** Whether the system shows anything under this pid, be it a dead process that its parent never collected. */
export function isVisible(pid: number): boolean {
  return hasProc() ? existsSync(`/proc/${pid}/stat`) : identify(pid) !== undefined
}

/** Whether exactly this process still runs: another one under a reused pid does not count. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.started === identity.started
}

/**
 * What the command line of every process that works in this data folder contains: its shell has it as name,
 * the server as `cluster_name`, which PostgreSQL repeats in the titles of its processes. The folder's number
 * in the file system stays when the folder is renamed. undefined if there is no such folder.
 */
export function serverTag(data: string): string | undefined {
  try {
    const { dev, ino } = statSync(data)
    return `tenantry-${createHash('sha256').update(`${dev}:${ino}`).digest('hex').slice(0, 20)}`
  } catch {
    return undefined
  }
}

/**
 * The pids of the servers that work in this data folder, and of the shells that watch them. It asks the
 * system and no pid file, because a pid file survives a crash and its number may belong to anybody by then;
 * and it asks for command lines, which in a container even root may see of other users, unlike their folders.
 */
export function findServerProcesses(data: string): number[] {
  const tag = serverTag(data)
  if (tag === undefined) return []
  if (!hasProc()) {
    const lines = listProcesses('pid=,command=').split('\n')
    return lines.filter((line) => line.includes(tag)).map((line) => Number.parseInt(line, 10))
  }
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids.filter((pid) => read(`/proc/${pid}/cmdline`)?.includes(tag) === true).map(Number)
}

/** Sends a signal to a process that may be gone by now. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It ended in between, which is what the signal was for.
  }
}

/** The pid of the server itself, as its own pid file tells; it may be long gone. */
export function readServerPid(data: string): number | undefined {
  const pid = Number.parseInt(read(join(data, 'postmaster.pid')) ?? '', 10)
  return Number.isNaN(pid) ? undefined : pid
}

/**
 * Ends the server that still works in a data folder after its owner was killed: fast shutdown first
 * (SIGINT, PostgreSQL manual 18.5), immediate after 10 s, SIGKILL to all of its processes after 15 s.
 * Earlier only the server itself is signalled: to its checkpointer a SIGINT would mean something else.
 * Resolves to false if some would not go.
 */
export async function endServerProcesses(data: string): Promise<boolean> {
  for (let tick = 0; tick < 1_000; tick += 1) {
    const pids = findServerProcesses(data)
    if (pids.length === 0) return true
    if (tick % 50 === 0) {
      const server = pids.filter((pid) => pid === readServerPid(data))
      if (tick < 750) for (const pid of server) signal(pid, tick < 500 ? 'SIGINT' : 'SIGQUIT')
      else for (const pid of pids) signal(pid, 'SIGKILL')
    }
    await sleep(20)
  }
  return false
}
