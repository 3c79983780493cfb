/** What a server's processes cost, from Linux' books; elsewhere it is not known. */
import { readFileSync } from 'node:fs'

/** Clock ticks a second in /proc/<pid>/stat; Linux shows 100 to user space on every machine. */
const TICKS = 100

/**
 * Seconds of processor time of a process and all children that it ever had, or NaN where nobody keeps them.
 * Source: proc(5), /proc/pid/stat fields 14 to 17.
 */
export function treeCpuSeconds(pid: number): number {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
    const own = ticksOf(pid)
    // Time of children that ended is the parent's; of those that live, their own.
    const living = children.filter(Boolean).map((child) => ticksOf(Number(child)).own)
    return (own.own + own.ended + living.reduce((sum, ticks) => sum + ticks, 0)) / TICKS
  } catch {
    return Number.NaN
  }
}

function ticksOf(pid: number): { own: number; ended: number } {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch (error) {
    // It ended between the list and the look: what it used counts as its parent's in the next look.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { own: 0, ended: 0 }
    throw error
  }
  // The name, in parentheses, may hold spaces.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields.slice(11, 15)
  return { own: user + system, ended: endedUser + endedSystem }
}
