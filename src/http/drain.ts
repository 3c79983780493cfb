/** The end of a server process: requests in flight finish, new ones are refused, then everything is closed. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { constants } from 'node:os'
import { TenantryError } from '../core/errors.ts'
import { problemOf } from './problem.ts'
import { reportToStderr } from './report.ts'

/** What to end, and how long it may take. */
export interface DrainOptions {
  /** The HTTP server; that of `app.listen()` too. */
  readonly server: Server
  /** Runs when the last request is done, or was cut off: `() => tenancy.close()`. */
  readonly close: () => Promise<void>
  /** How long requests in flight may take, in milliseconds; 10,000 by default. After it they are cut off. */
  readonly timeoutMs?: number
  /** The signals to heed; SIGINT and SIGTERM by default. */
  readonly signals?: readonly NodeJS.Signals[]
}

/** A drain that waits for its signal. */
export interface Drain {
  /** Starts it now; later calls wait for the same end. */
  drain(): Promise<void>
  /** Takes the signal handlers away again. */
  dispose(): void
}

/** A terminal's Ctrl-C reaches a process twice where a runner such as npm passes it on; people are slower. */
const ONE_PRESS_MS = 1_000
/** What `close` may take beyond `timeoutMs`. */
const CLOSE_MS = 5_000
/** How long timers and sockets that nobody stopped may hold a process that is done. */
const STRAY_MS = 1_000
const POLL_MS = 50

/**
 * Ends the process in good order on a signal, or when the parent that holds its IPC channel dies. The process then
 * ends by itself with exit code 0, or 1 where requests were cut off or `close` failed; what still holds it open
 * after that is ended. A second signal, a second or more after the first, ends it at once.
 *
 * @example
 * drainOnSignal({ server: app.listen(3000), close: () => tenancy.close() })
 */
export function drainOnSignal(options: DrainOptions): Drain {
  const { server, close, timeoutMs = 10_000, signals = ['SIGINT', 'SIGTERM'] } = options
  const connections = new Set<Socket>()
  const newest = new Map<Socket, ServerResponse>()
  let ending: Promise<void> | undefined
  let firstSignalAt: number | undefined

  function keep(socket: Socket): void {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  }

  function follow(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    newest.set(socket, response)
    response.once('close', () => {
      if (newest.get(socket) === response) newest.delete(socket)
    })
  }

  async function end(): Promise<void> {
    // Listening to this event keeps the channel, and with it the process, alive.
    process.off('disconnect', onDisconnect)
    endProcessAfter(timeoutMs + CLOSE_MS, 1)
    refuseNewRequests(server)
    // Only the newest: a pipelined request before it would take the later answers with it.
    for (const response of newest.values()) {
      if (!response.headersSent) response.setHeader('connection', 'close')
    }
    let failed = await closeServer(server, connections, timeoutMs)
    try {
      await close()
    } catch (error) {
      failed = true
      reportToStderr(error)
    }
    if (failed) process.exitCode = 1
    endProcessAfter(STRAY_MS, Number(process.exitCode ?? 0))
  }

  function drain(): Promise<void> {
    ending ??= end()
    return ending
  }

  function onSignal(signal: NodeJS.Signals): void {
    const now = performance.now()
    if (firstSignalAt !== undefined && now - firstSignalAt >= ONE_PRESS_MS) {
      process.exit(128 + constants.signals[signal])
    }
    firstSignalAt ??= now
    void drain()
  }

  function onDisconnect(): void {
    void drain()
  }

  server.on('connection', keep)
  server.prependListener('request', follow)
  for (const signal of signals) process.on(signal, onSignal)
  if (process.connected) process.on('disconnect', onDisconnect)

  return {
    drain,
    dispose() {
      server.off('connection', keep)
      server.off('request', follow)
      for (const signal of signals) process.off(signal, onSignal)
      process.off('disconnect', onDisconnect)
    },
  }
}

/** Does not hold the process itself: it strikes only where something else does. */
function endProcessAfter(ms: number, code: number): void {
  setTimeout(() => process.exit(code), ms).unref()
}

/** The application hears of no request any more, whichever framework listens. */
function refuseNewRequests(server: Server): void {
  for (const event of ['request', 'checkContinue', 'checkExpectation', 'upgrade']) {
    server.removeAllListeners(event)
  }
  server.on('request', (_request, response) => {
    const { status, headers, body } = problemOf(new TenantryError('TNY106'))
    response.writeHead(status, headers).end(body)
  })
}

/** @returns whether requests were cut off. */
async function closeServer(
  server: Server,
  connections: ReadonlySet<Socket>,
  timeoutMs: number,
): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const cut = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => {
      // Not closeAllConnections(): it forgets those that were upgraded.
      for (const socket of connections) socket.destroy()
      resolve(true)
    }, timeoutMs)
  })
  // A server that never listened reports an error, and is closed all the same.
  const closed = new Promise<boolean>((resolve) => server.close(() => resolve(false)))
  const poll = setInterval(() => {
    server.closeIdleConnections()
    // Browsers open connections ahead, and Node does not count those as idle.
    for (const socket of connections) if (socket.bytesRead === 0) socket.destroy()
  }, POLL_MS)
  const wasCut = await Promise.race([closed, cut])
  clearInterval(poll)
  clearTimeout(timer)
  return wasCut
}
