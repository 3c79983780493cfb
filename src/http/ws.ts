/** The face for WebSockets of the package `ws`: the tenant is found at the upgrade, and holds for every message. */
import type { EventEmitter } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { emitWithin } from '../core/emit-within.ts'
import { TenantryError } from '../core/errors.ts'
import type { TenantRuntime } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'
import type { RequestParts } from '../resolve/resolvable-request.ts'
import { createAdmission } from './admission.ts'
import type { AdmissionOptions } from './admission.ts'
import { type AllowedOrigins, createOriginCheck } from './allowed-origins.ts'
import { problemOf } from './problem.ts'
import { reportToStderr } from './report.ts'

export type { AdmissionOptions } from './admission.ts'
export type { AllowedOrigins } from './allowed-origins.ts'

/** What of a tenancy this adapter uses. */
export interface WebSocketTenancy extends TenantRuntime {
  follow(follower: (tenant: Tenant | undefined) => void): () => void
}

/** What of a connection of `ws` this adapter uses. */
export interface ServedSocket extends EventEmitter {
  close(code: number, reason?: string): void
  terminate(): void
}

/** A `WebSocketServer` of `ws`, made with `noServer: true`. */
export interface NoServerWebSockets<S extends ServedSocket> {
  handleUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    done: (socket: S, request: IncomingMessage) => void,
  ): void
  emit(event: 'connection', socket: S, request: IncomingMessage): boolean
}

/** How upgrades are told apart: the options of `tenantMiddleware`, and who may open a WebSocket. */
export interface WebSocketOptions<S extends ServedSocket> extends AdmissionOptions<IncomingMessage> {
  /** The HTTP server; that of `app.listen()` too. */
  readonly server: Server
  /** `new WebSocketServer({ noServer: true })`. */
  readonly sockets: NoServerWebSockets<S>
  /**
   * Origins of pages that may connect beside those of the host itself: `['https://app.example.com']`, or a function.
   * Browsers send cookies along with every WebSocket, whichever page opens it. Programs send no origin, and are let in.
   */
  readonly origins?: AllowedOrigins
  /** Hears errors that are the service's own fault (5xx). Writes to standard error by default. */
  readonly onError?: (error: unknown, request: IncomingMessage) => void
}

/** Policy violation (RFC 6455, 7.4.1): the tenant is not served any more. */
const NOT_SERVED = 1008
/** The endpoint is going away (RFC 6455, 7.4.1). */
const GOING_AWAY = 1001
/** How long a peer may take to answer a close before its connection is cut. */
const CLOSE_MS = 2_000

/**
 * Answers upgrades of the server: a request that names no served tenant gets its problem+json and no WebSocket. All
 * listeners of a connection, also those added later, run in its tenant's context. Connections of a tenant that is
 * suspended or erased are closed with 1008 within about a second; when the server drains, all are closed with 1001.
 *
 * @returns what closes every connection with 1001 and takes no more, for servers that end without `drainOnSignal`.
 * @throws TNY002 where an option is not valid
 * @example
 * acceptWebSockets(tenancy, { server, sockets, resolve: subdomain({ root: 'example.com' }) })
 * sockets.on('connection', (socket) => {
 *   socket.on('message', async () => socket.send(await orderCount()))
 * })
 */
export function acceptWebSockets<S extends ServedSocket>(
  tenancy: WebSocketTenancy,
  options: WebSocketOptions<S>,
): () => void {
  const { server, sockets, onError = reportToStderr } = options
  const { context } = tenancy
  const admit = createAdmission(tenancy, options)
  const checkOrigin = createOriginCheck(options)
  const open = new Set<S>()
  let draining = false

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // A peer that resets its connection meanwhile must not end the process.
    socket.on('error', () => socket.destroy())
    try {
      const parts = partsOf(request)
      checkOrigin(parts)
      // A context from outside, whoever's, is none of the resolver's business.
      const tenant = await context.exit(() => admit(parts, leaving(socket)))
      if (draining) throw new TenantryError('TNY106')
      inContext(tenant, () =>
        sockets.handleUpgrade(request, socket, head, (opened) => serve(opened, request, tenant)),
      )
    } catch (error) {
      const status = refuse(socket, error)
      if (status >= 500 && !(error instanceof TenantryError && error.code === 'TNY106'))
        onError(error, request)
    }
  }

  /** Without what the caller's context holds: an emitter is called from anywhere. */
  function inContext<T>(tenant: Tenant | undefined, fn: () => T): T {
    return context.exit(() => (tenant === undefined ? fn() : context.run(tenant, fn)))
  }

  function serve(socket: S, request: IncomingMessage, admitted: Tenant | undefined): void {
    let tenant = admitted
    emitWithin(socket, (emit) => inContext(tenant, emit))
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    if (draining) return end(socket, GOING_AWAY, 'going away')
    inContext(tenant, () => {
      try {
        sockets.emit('connection', socket, request)
      } catch (error) {
        // One connection's fault is not the end of all others.
        socket.terminate()
        onError(error, request)
      }
      if (tenant === undefined) return
      const stop = tenancy.follow((changed) => {
        // The newest record: settings and plan change while a connection is open.
        if (changed === undefined) end(socket, NOT_SERVED, 'not served')
        else tenant = changed
      })
      socket.once('close', stop)
    })
  }

  function drain(): void {
    draining = true
    server.off('upgrade', listener)
    for (const socket of open) end(socket, GOING_AWAY, 'going away')
  }

  const listener = (request: IncomingMessage, socket: Duplex, head: Buffer): void =>
    void upgrade(request, socket, head)
  server.on('upgrade', listener)
  // drainOnSignal takes the listeners of a server away when it begins.
  server.on('removeListener', (event: string, removed: unknown) => {
    if (event === 'upgrade' && removed === listener && !draining) drain()
  })
  return drain
}

function end(socket: ServedSocket, code: number, reason: string): void {
  socket.close(code, reason)
  const timer = setTimeout(() => socket.terminate(), CLOSE_MS)
  socket.once('close', () => clearTimeout(timer))
}

function partsOf(request: IncomingMessage): RequestParts<IncomingMessage> {
  const { url = '/', rawHeaders, socket } = request
  return { raw: request, target: url, rawHeaders, remoteAddress: socket.remoteAddress }
}

/** Aborted once the client closes its side: before the handshake nothing can come from it any more. */
function leaving(socket: Duplex): AbortSignal {
  const controller = new AbortController()
  const abort = (): void => controller.abort(new TenantryError('TNY107'))
  socket.once('end', abort).once('close', abort)
  return controller.signal
}

/** There is no response to an upgrade but what is written by hand. */
function refuse(socket: Duplex, error: unknown): number {
  const { status, headers, body } = problemOf(error)
  const fields = Object.entries({ ...headers, connection: 'close' }).map(
    ([name, value]) => `${name}: ${value}`,
  )
  const { title } = JSON.parse(body) as { title: string }
  // The server has let go of it with all its timeouts, and a client need not ever close its own side.
  socket.once('finish', () => socket.destroy())
  socket.end([`HTTP/1.1 ${status} ${title}`, ...fields, '', body].join('\r\n'))
  return status
}
