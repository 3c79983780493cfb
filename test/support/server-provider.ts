/**
 * Servers on demand: a run pays for those versions that its files ask for, once each. Files run in processes of their
 * own and servers belong to the first process, so that they ask it, through a socket.
 */
import { createServer, request } from 'node:http'
import type { ServerVersion, TestServer } from './server-versions.ts'
import { SERVER_VERSIONS } from './server-versions.ts'

/** The side of the process that runs the servers. */
export interface ServerProvider {
  close(): Promise<void>
}

/** Listens at `socket`. `start` is called at most once for each version, unless it failed. */
export async function provideServers(
  socket: string,
  start: (version: ServerVersion) => Promise<TestServer>,
): Promise<ServerProvider> {
  const started = new Map<ServerVersion, Promise<TestServer>>()
  function startOnce(version: ServerVersion): Promise<TestServer> {
    const known = started.get(version)
    if (known !== undefined) return known
    const starting = start(version)
    started.set(version, starting)
    starting.catch(() => started.delete(version))
    return starting
  }
  const listener = createServer((incoming, response) => {
    const version = SERVER_VERSIONS.find((each) => incoming.url === `/${each}`)
    const answer = version === undefined ? Promise.reject(new Error('no such version')) : startOnce(version)
    answer.then(
      (server) => response.end(JSON.stringify(server)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
  })
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject).listen(socket, resolve)
  })
  return {
    close: () =>
      new Promise((resolve) => {
        listener.close(() => resolve())
        listener.closeAllConnections()
      }),
  }
}

/** The side of a test file. */
export function requestServer(socket: string, version: ServerVersion): Promise<TestServer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: socket, path: `/${version}`, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (body += chunk))
      response.on('end', () => {
        if (response.statusCode === 200) resolve(JSON.parse(body) as TestServer)
        else reject(new Error(`PostgreSQL ${version} did not start: ${body}`))
      })
    })
    asked.once('error', reject).end()
  })
}
