/** One process at a time per folder: a lock that a dead process does not hold. */
import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { TenantryError } from '../src/core/errors.ts'
import { identify, isAlive } from './processes.ts'
import type { ProcessIdentity } from './processes.ts'

/** A lock that this process holds. */
export interface ProcessLock {
  release(): void
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false
  return 'pid' in value && typeof value.pid === 'number' && 'started' in value
}

function findHolder(claim: string): number | undefined {
  try {
    const holder: unknown = JSON.parse(readFileSync(claim, 'utf8'))
    return isIdentity(holder) && isAlive(holder) ? holder.pid : undefined
  } catch {
    return undefined
  }
}

/** Writes the claim in full before it gets its name, and gives the name only if nobody has it. */
function claim(path: string, content: string): boolean {
  const draft = join(dirname(path), `draft-${process.pid}-${randomBytes(6).toString('hex')}`)
  writeFileSync(draft, content, { mode: 0o600 })
  try {
    linkSync(draft, path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(draft, { force: true })
  }
}

/**
 * Takes the lock of `folder`, or throws TNY014 with the pid of the process that holds it.
 *
 * Claims are files `1`, `2`, … and a dead claim is never replaced but followed by the next number, which
 * only one of several processes can create. Removing a dead claim and writing one's own under the same
 * name would let a slow rival remove the new, living one.
 */
export function takeProcessLock(folder: string, owned: string): ProcessLock {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const content = JSON.stringify(identify(process.pid))
  const list = (): string[] => readdirSync(folder).filter((name) => /^\d+$/.test(name))
  const refuseIfHeld = (names: string[]): void => {
    for (const name of names) {
      const pid = findHolder(join(folder, name))
      if (pid !== undefined) throw new TenantryError('TNY014', { params: { folder: owned, pid } })
    }
  }
  for (;;) {
    const seen = list()
    refuseIfHeld(seen)
    const mine = String(Math.max(0, ...seen.map(Number)) + 1)
    const path = join(folder, mine)
    if (!claim(path, content)) continue
    const release = (): void => rmSync(path, { force: true })
    const others = list().filter((name) => name !== mine)
    try {
      // Somebody may have followed the dead claim, and let go of theirs, since the folder was listed.
      refuseIfHeld(others)
    } catch (error) {
      release()
      throw error
    }
    for (const name of others) rmSync(join(folder, name), { force: true })
    return { release }
  }
}
