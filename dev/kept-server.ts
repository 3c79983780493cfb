/** An embedded server that several processes share: the first starts it, and it ends when the last of them is gone. */
import { spawn } from 'node:child_process'
import { lstatSync, mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { TenantryError } from '../src/core/errors.ts'

/** A share in the server. */
export interface KeptServer {
  readonly superuserUrl: string
  /** Lets go of it; the end of this process, by `kill -9` too, does the same. */
  release(): void
}

/** Making a cluster takes seconds on a busy machine, and recovering one as long. */
const PATIENCE_MS = 90_000
const PAUSE_MS = 100

/** Where it is for this user: one server for all projects and runs of this user. */
export function keptFolder(): string {
  return join(tmpdir(), `tenantry-testing-${process.getuid?.() ?? 'user'}`)
}

/** Where the process that keeps the server listens. */
export function keeperSocket(dir: string): string {
  return join(dir, 'keeper.sock')
}

/**
 * Takes a share in the server of a folder, and starts it where nobody has.
 * @throws TNY019 where the folder is somebody else's, TNY040 where the server does not start.
 * @example
 * const server = await joinServer(keptFolder())
 */
export async function joinServer(dir: string): Promise<KeptServer> {
  requireOwn(dir)
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const share = await takeShare(dir)
    if (share !== undefined) return share
    const reason = await startKeeper(dir)
    if (reason !== undefined) throw failure(dir, reason)
    if (performance.now() > deadline) throw failure(dir, 'another process is starting it and does not end')
  }
}

/** Everybody can write to the folder of temporary files: who made ours first would answer in the server's place. */
function requireOwn(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const found = lstatSync(dir)
  if (found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0) return
  const reason = 'it belongs to another user, or others may write to it'
  throw new TenantryError('TNY019', { params: { folder: dir, reason } })
}

/** `undefined` where nobody keeps the server, or no longer. */
function takeShare(dir: string): Promise<KeptServer | undefined> {
  return new Promise((resolve) => {
    const socket = connect(keeperSocket(dir))
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (!text.endsWith('\n')) return
      const { superuserUrl } = JSON.parse(text) as { superuserUrl: string }
      // Held until the process ends, which it must not keep from doing so.
      socket.unref()
      resolve({ superuserUrl, release: () => socket.destroy() })
    })
    socket.on('error', () => undefined).on('close', () => resolve(undefined))
  })
}

/** Resolves once the server may be there: ours, or that of a process that was quicker. @returns why it cannot be */
async function startKeeper(dir: string): Promise<string | undefined> {
  const file = join(import.meta.dirname, `server-keeper${extname(import.meta.filename)}`)
  const { PATH, HOME, TMPDIR } = process.env
  // A session of its own: Ctrl-C is meant for the tests, and the others' server must outlive us.
  const child = spawn(process.execPath, [file, dir], {
    detached: true,
    env: { PATH, HOME, TMPDIR },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let text = ''
  const said = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(JSON.stringify({ reason: error.message })))
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (text.endsWith('}')) resolve(text)
    })
    child.stdout.once('close', () => resolve(text))
  })
  child.stdout.destroy()
  child.unref()
  const word = readWord(said)
  if (word.ready === true) return undefined
  if (word.code !== 'TNY014') return word.reason ?? 'the process that keeps it ended at once'
  await sleep(PAUSE_MS)
  return undefined
}

function readWord(text: string): { ready?: boolean; code?: string; reason?: string } {
  try {
    return JSON.parse(text) as object
  } catch {
    return {}
  }
}

function failure(dir: string, reason: string): TenantryError {
  return new TenantryError('TNY040', {
    params: { reason: reason.replace(/\.$/, ''), log: join(dir, 'postgres.log') },
  })
}
