/** Servers held by other processes, temporary folders, and what is left of either. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { onTestFinished } from 'vitest'
import { findServerProcesses, endServerProcesses } from '../../dev/processes.ts'

/** Faster, and as good as durable for servers that are killed while the machine goes on. */
export const FAST = { fsync: 'off', synchronous_commit: 'off' }

export const isRoot = process.getuid?.() === 0

/** The data folder of a server that was started with this `dir`. */
export function dataIn(dir: string): string {
  return join(dir, 'postgres18', 'data')
}

/** A folder that is gone after the test, with every server in it. `parent` gets mode 0700 and lies above it. */
export function temporaryDir(owner?: { uid: number; gid: number }): string {
  const parent = mkdtempSync(join(tmpdir(), 'tenantry-embedded-'))
  chmodSync(parent, 0o700)
  if (owner !== undefined) chownSync(parent, owner.uid, owner.gid)
  const dir = join(parent, '.tenantry')
  onTestFinished(async () => {
    await endServerProcesses(dataIn(dir))
    rmSync(parent, { recursive: true, force: true })
  })
  return dir
}

/** Resolves once `test` holds; rejects after `ms`. */
export async function until(test: () => boolean, ms = 10_000): Promise<void> {
  const end = Date.now() + ms
  while (!test()) {
    if (Date.now() > end) throw new Error(`still not so after ${ms} ms: ${test.toString()}`)
    await sleep(10)
  }
}

/** Starts test/dev/fixtures/hold-server.ts. */
export function spawnHolder(dir: string, owner?: { uid: number; gid: number }): ChildProcess {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'fixtures/hold-server.ts'), dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: '/',
    env: { PATH: process.env['PATH'], HOME: dir },
    ...owner,
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

/** What the holder says once its server runs, or why it does not. */
export async function answerOf(child: ChildProcess): Promise<Record<string, unknown>> {
  if (child.stdout === null) throw new Error('no stdout')
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return JSON.parse(line.toString('utf8')) as Record<string, unknown>
}

/** Kills a holder as `kill -9` does, and waits until none of its server's processes is left. */
export async function killHolder(child: ChildProcess, dir: string): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
  await until(() => findServerProcesses(dataIn(dir)).length === 0)
}

/** One value from one statement. */
export async function value(url: unknown, sql: string): Promise<unknown> {
  const client = new pg.Client(String(url))
  await client.connect()
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql)
    return Object.values(rows[0] ?? {})[0]
  } finally {
    await client.end()
  }
}
