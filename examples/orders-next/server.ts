/**
 * Serves the app, as `next start` would (or `next dev`, unless NODE_ENV is production), and lets requests in flight
 * finish when it is told to end.
 */
import { createServer } from 'node:http'
import next from 'next'
import { drainOnSignal } from 'tenantry/node'

const port = Number(process.env['PORT'] ?? 3000)
const app = next({ dev: process.env['NODE_ENV'] !== 'production', dir: import.meta.dirname, port })
await app.prepare()
const handle = app.getRequestHandler()
const server = createServer((request, response) => void handle(request, response))
server.listen(port)
drainOnSignal({
  server,
  async close() {
    await app.close()
    await globalThis.tenancy?.close()
  },
})
