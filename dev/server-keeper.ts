/** The process that keeps one embedded server for all that use it: as long as somebody holds its socket, and a moment longer. */
import { rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { TenantryError } from '../src/core/errors.ts'
import { startEmbedded } from './embedded.ts'
import { keeperSocket } from './kept-server.ts'

/** Between two test files nobody may hold it; a start would cost more than this wait. */
const LINGER_MS = 5_000

/** The data are worth nothing, so that durability would only cost time. */
const SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  wal_init_zero: 'off',
  autovacuum: 'off',
  max_connections: '300',
  max_locks_per_transaction: '256',
}

const [dir = ''] = process.argv.slice(2)
// The folder that it was started in may be removed meanwhile.
process.chdir('/')
try {
  await keep()
} catch (error) {
  const code = error instanceof TenantryError ? error.code : undefined
  process.stdout.write(
    JSON.stringify({ code, reason: error instanceof Error ? error.message : String(error) }),
  )
  process.exitCode = 1
}

async function keep(): Promise<void> {
  const server = await startEmbedded({ dir, settings: SETTINGS })
  const holders = new Set<Socket>()
  let leaving: NodeJS.Timeout | undefined
  const leaveSoon = (): void => {
    clearTimeout(leaving)
    leaving = setTimeout(() => void leave(), LINGER_MS)
  }
  const door = createServer((socket) => {
    holders.add(socket)
    clearTimeout(leaving)
    // Read, or its end would not be heard; a holder that was killed is an end too.
    socket.on('error', () => undefined).resume()
    socket.on('close', () => {
      holders.delete(socket)
      if (holders.size === 0) leaveSoon()
    })
    socket.write(`${JSON.stringify({ superuserUrl: server.superuserUrl })}\n`)
  })
  const leave = async (): Promise<void> => {
    door.close()
    for (const socket of holders) socket.destroy()
    await server.stop()
    process.exit()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void leave())
  void server.ended.then(() => process.exit())
  // Ours to remove: we hold the lock of the folder.
  rmSync(keeperSocket(dir), { force: true })
  await new Promise<void>((done, fail) => door.once('error', fail).listen(keeperSocket(dir), done))
  leaveSoon()
  process.stdout.write(JSON.stringify({ ready: true }))
}
