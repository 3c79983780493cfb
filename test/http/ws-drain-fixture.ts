/** A server process for ws-drain.test.ts: a WebSocket for anybody, and an end in good order. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import { drainOnSignal } from '../../src/http/drain.ts'
import { acceptWebSockets } from '../../src/http/ws.ts'
import { sampleTenancy, sampleTenant } from './sample-tenancy.ts'

const server = createServer()
acceptWebSockets(
  { ...sampleTenancy([sampleTenant('acme')]), follow: () => () => undefined },
  { server, sockets: new WebSocketServer({ noServer: true }), resolve: () => ({ key: 'acme' }) },
)
drainOnSignal({ server, timeoutMs: 20_000, close: () => Promise.resolve() })
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`)
})
