/** A server process for drain.test.ts: slow answers on demand, and a close() that says that it ran. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { drainOnSignal } from '../../src/http/drain.ts'

const { CLOSE = 'works', TIMEOUT_MS = '10000', HOLD = '' } = process.env

const server = createServer((req, res) => {
  const { pathname, searchParams } = new URL(req.url ?? '/', 'http://any')
  const ms = Number(searchParams.get('ms') ?? 0)
  process.stdout.write(`took ${pathname}\n`)
  if (pathname === '/stream') res.write('first ')
  setTimeout(() => res.end(`done ${pathname}`), ms)
})
server.on('upgrade', (_req, socket) => {
  socket.on('error', () => undefined)
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
})
// What an application may forget to stop.
if (HOLD === 'timer') setInterval(() => undefined, 1_000)

// Not emitted where process.exit() had to be called.
process.on('beforeExit', () => process.stdout.write('by itself\n'))

drainOnSignal({
  server,
  timeoutMs: Number(TIMEOUT_MS),
  async close() {
    process.stdout.write('closing\n')
    if (CLOSE === 'fails') throw new Error('close went wrong')
    if (CLOSE === 'hangs') await new Promise(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, 20))
    process.stdout.write('closed\n')
  },
})

server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`)
})
