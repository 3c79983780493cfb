/** One physical connection: sends one flight at a time and knows in what state the server left it. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { TenantryError } from '../core/errors.ts'
import type { Events } from '../core/events.ts'
import { findBackend, isPooled } from './answering-backend.ts'
import type { Binding } from './binding.ts'
import { databaseError, endsConnection, type Moment } from './database-error.ts'
import { requestCancel } from './cancel-request.ts'
import type { Exchange } from './exchange.ts'
import {
  type ContextStatement,
  Flight,
  type FlightLoad,
  parsesAhead,
  type StatementConfig,
} from './flight.ts'
import { StatementNames } from './statement-names.ts'

/** ReadyForQuery's status: idle, in a transaction, in a failed one. */
export type TransactionStatus = 'I' | 'T' | 'E'

/** node-postgres' protocol layer, as far as the gateway listens to it. */
interface Protocol {
  on(event: 'parseComplete', listener: () => void): void
  stream: { destroy(): void }
}

/** What a flight carries beside its statement. */
export interface FlightOptions {
  /** The tenant to enter first; none for central work and inside a transaction that is bound already. */
  readonly binding?: Binding | undefined
  /** Statements to send ahead in the same round trip. */
  readonly before?: readonly string[] | undefined
  /** True for COMMIT: a lost connection then leaves the outcome unknown. */
  readonly commits?: boolean | undefined
}

/** How connections are opened and used. */
export interface ConnectionSettings {
  readonly config: pg.ClientConfig
  /** False behind a pooler that hands statements to changing backends: nothing is prepared under a name there. */
  readonly named: boolean
  readonly events: Events
  /** How long central statements may run; tenants' limits come with their binding. 0 for no limit. */
  readonly statementTimeoutMs: number
}

/** A connection that belongs to nobody for longer than a statement or a transaction. */
export class Connection {
  /** The tenant that it served last: its catalog caches are warm for that one. */
  lastTenantId: string | undefined
  readonly openedAt = performance.now()
  /** Once true, it must not be used again. */
  broken = false
  /** Told of its loss, where nothing is under way that would fail with it. */
  whenLost: ((error: TenantryError) => void) | undefined
  readonly #client: pg.Client
  readonly #settings: ConnectionSettings
  readonly #context: ContextStatement
  readonly #names = new StatementNames()
  readonly #touched = new Set<string>()
  #flight: Flight | undefined
  #exchange: Exchange | undefined
  #settle: (() => void) | undefined
  #lost: Error | undefined
  #servedTenantId: string | undefined
  #timeLimitMs = 0
  /** The transaction has set a time limit of its own, which ours must not undercut. */
  #ownTimeLimit = false

  private constructor(client: pg.Client, settings: ConnectionSettings, onEnd: () => void) {
    this.#client = client
    this.#settings = settings
    this.#context = { named: settings.named, ready: false }
    const protocol = (client as unknown as { connection: Protocol }).connection
    protocol.on('parseComplete', () => this.#flight?.handleParseComplete())
    // 'drain' follows ReadyForQuery. Errors come before it, some even after CommandComplete (FINDINGS 6), so that
    // only then is a flight over and the connection free.
    client.on('drain', () => this.#settle?.())
    client.on('notice', (notice) => (this.#exchange ?? this.#flight)?.onNotice?.(notice))
    client.on('error', (error: Error) => this.#onLost(error))
    client.on('end', () => {
      this.#onLost(this.#lost ?? new Error('Connection terminated unexpectedly'))
      onEnd()
    })
  }

  /**
   * Connects.
   * @param onEnd called once when the connection is gone, for whatever reason.
   * @throws TNY202 where the server cannot be reached; a refused login passes as PostgreSQL says it.
   */
  static async open(settings: ConnectionSettings, onEnd: () => void): Promise<Connection> {
    const client = new pg.Client(settings.config)
    // A client emits 'error' without a listener only once, and that would end the process.
    client.on('error', () => undefined)
    const { stream } = (client as unknown as { connection: Protocol }).connection
    const silent = setTimeout(() => stream.destroy(), settings.config.connectionTimeoutMillis ?? 10_000)
    try {
      await client.connect()
      // A pooler that nobody told us of would hand a name to a backend where it means another tenant's statement (P1).
      const named = settings.named && !isPooled(client, await findBackend(client))
      return new Connection(client, { ...settings, named }, onEnd)
    } catch (error) {
      stream.destroy()
      throw databaseError(error, 'connect')
    } finally {
      clearTimeout(silent)
    }
  }

  /** Whether its backend has this tenant's catalog entries in memory. */
  hasTouched(tenantId: string): boolean {
    return this.#touched.has(tenantId)
  }

  /** How many tenants' catalog entries its backend holds: some 145 kB each (FINDINGS 22). */
  get tenantsTouched(): number {
    return this.#touched.size
  }

  get status(): TransactionStatus {
    return (this.#client as unknown as { getTransactionStatus(): TransactionStatus }).getTransactionStatus()
  }

  /**
   * Sends one statement in one round trip and waits until the server is ready again.
   * @throws the statement's own error, TNY212 (or TNY206 for COMMIT) where the connection was lost or went silent,
   * the signal's reason where it was aborted.
   */
  async send(statement: StatementConfig, options: FlightOptions = {}): Promise<pg.QueryResult> {
    const tenantId = this.#tenantOf(options.binding)
    this.#servedTenantId = tenantId
    const name = tenantId === undefined ? undefined : this.#nameFor(tenantId, statement, options)
    try {
      return await this.#fly(
        statement,
        { ...options, name },
        options.commits === true ? 'commit' : 'statement',
      )
    } catch (error) {
      if (name === undefined || tenantId === undefined || !misfits(error)) throw error
      // The plan was made for columns that changed since, or the server dropped it. Nothing has run yet.
      this.#names.forget(tenantId, statement.text)
      if (this.status !== 'I') throw error
      return this.#fly(statement, options, 'statement')
    }
  }

  /** Whose transaction or statement this is: the one bound now, or bound before and still open. */
  #tenantOf(binding: Binding | undefined): string | undefined {
    if (binding === undefined) {
      if (this.status !== 'I') return this.lastTenantId
      this.#timeLimitMs = this.#settings.statementTimeoutMs
      return undefined
    }
    this.lastTenantId = binding.tenantId
    this.#timeLimitMs = Number(binding.statementTimeout)
    this.#touched.add(binding.tenantId)
    return binding.tenantId
  }

  #nameFor(tenantId: string, { text }: StatementConfig, load: FlightLoad): string | undefined {
    if (!this.#context.named || parsesAhead(load, this.#context)) return undefined
    return this.#names.find(tenantId, text)
  }

  async #fly(statement: StatementConfig, load: FlightLoad, moment: Moment): Promise<pg.QueryResult> {
    if (this.#lost !== undefined) throw failure(this.#lost, moment, { entered: false, begun: false })
    statement.signal?.throwIfAborted()
    if (/\bstatement_timeout\b/i.test(statement.text)) this.#ownTimeLimit = true
    const sentAt = performance.now()
    const flight = new Flight(statement, { ...load, closing: this.#names.takeClosing() }, this.#context)
    const cancelled = this.#cancelOnAbort(statement.signal)
    const deadline = this.#cutWhenSilent()
    await new Promise<void>((resolve) => {
      this.#flight = flight
      this.#settle = resolve
      this.#client.query(flight as unknown as pg.Submittable)
    })
    this.#flight = undefined
    this.#settle = undefined
    clearTimeout(deadline)
    await cancelled.settled()
    if (this.status === 'I') this.#ownTimeLimit = false
    // What the server said of the statement goes before the loss that followed it.
    const error = flight.error ?? this.#lost
    this.#settings.events.emit('flight:done', {
      tenantId: this.#servedTenantId,
      tookMs: performance.now() - sentAt,
      named: load.name !== undefined,
      ok: error === undefined,
    })
    if (error === undefined && flight.result !== undefined) return flight.result
    if (endsConnection(error)) this.broken = true
    if (statement.signal?.aborted === true && isCancelled(error)) throw abortReason(statement.signal)
    // A connection that just broke proves nothing: the answer may be what was lost.
    const begun = flight.begun || !(error instanceof pg.DatabaseError)
    throw failure(error, moment, { entered: flight.entered, begun })
  }

  /**
   * One round trip of a Submittable, inside a transaction.
   * @throws what the server says of it, TNY212 where the connection was lost.
   */
  async exchange(part: Exchange): Promise<void> {
    if (this.#lost !== undefined) throw databaseError(this.#lost, 'statement')
    // COPY too: the server counts the time of its data as the statement's.
    const deadline = this.#cutWhenSilent()
    await new Promise<void>((resolve) => {
      this.#exchange = part
      this.#settle = resolve
      this.#client.query(part as unknown as pg.Submittable)
    })
    this.#exchange = undefined
    this.#settle = undefined
    clearTimeout(deadline)
    const error = part.error ?? this.#lost
    if (error === undefined) return
    if (endsConnection(error)) this.broken = true
    throw databaseError(error, 'statement')
  }

  /** A server or network that says nothing any more would hold the caller, and this connection, for ever. */
  #cutWhenSilent(): NodeJS.Timeout | undefined {
    if (this.#timeLimitMs === 0 || this.#ownTimeLimit) return undefined
    const { least, most } = GRACE_MS
    const deadlineMs = this.#timeLimitMs + Math.min(Math.max(this.#timeLimitMs, least), most)
    return setTimeout(() => {
      this.#onLost(new Error(`Connection terminated: no answer for ${deadlineMs} ms`))
      this.close()
    }, deadlineMs)
  }

  /**
   * A cancel reaches whatever its backend runs when it arrives. So the statement is not over before the request has been
   * handled and an empty round trip has met what may come late: it cannot hit the next tenant (P5).
   */
  #cancelOnAbort(signal: AbortSignal | undefined): { settled(): Promise<void> } {
    if (signal === undefined) return NOT_CANCELLED
    const { host, port, processID, secretKey } = this.#client as unknown as Backend
    const over = Promise.withResolvers<void>()
    let isOver = false
    let isUnknown = false
    /** One that overtook its statement, or was lost, cancelled nothing: asked again until the statement ends. */
    const insist = async (): Promise<void> => {
      for (let pauseMs = 50; !isOver; pauseMs = Math.min(pauseMs * 2, 1_000)) {
        const outcome = await requestCancel({ host, port, processId: processID, secretKey })
        if (outcome === 'unknown') isUnknown = true
        await Promise.race([over.promise, sleep(pauseMs, undefined, { ref: false })])
      }
    }
    let request: Promise<void> | undefined
    const cancel = (): void => {
      request = insist()
    }
    signal.addEventListener('abort', cancel, { once: true })
    return {
      settled: async () => {
        isOver = true
        over.resolve()
        signal.removeEventListener('abort', cancel)
        if (request === undefined) return
        await request
        // It may arrive yet, when the backend works for somebody else; through a pooler that is always so.
        if (isUnknown || !this.#context.named) this.close()
        else if (!this.broken) await this.#fly({ text: '' }, {}, 'statement').catch(() => undefined)
      },
    }
  }

  /** Closes it; a connection in doubt is cut rather than asked. */
  close(): void {
    this.broken = true
    if (this.#flight !== undefined || this.#exchange !== undefined) {
      ;(this.#client as unknown as { connection: Protocol }).connection.stream.destroy()
    }
    void this.#client.end().catch(() => undefined)
  }

  #onLost(error: Error): void {
    this.broken = true
    this.#lost ??= error
    this.whenLost?.(new TenantryError('TNY212', { cause: error }))
    this.#settle?.()
  }
}

/** What node-postgres knows of its backend; its typings leave it out. */
interface Backend {
  readonly host: string
  readonly port: number
  readonly processID: number
  readonly secretKey: number
}

/** As long again as the limit, within these. The server's own limit comes first, and says more. */
const GRACE_MS = { least: 500, most: 5_000 }
const NOT_CANCELLED = { settled: () => Promise.resolve() }

function isCancelled(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '57014'
}

function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error
    ? signal.reason
    : new DOMException('The statement was aborted', 'AbortError')
}

/** Errors of a prepared statement's name, which say nothing about the statement itself (FINDINGS 8). */
function misfits(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false
  return (
    error.code === '26000' ||
    error.code === '42P05' ||
    (error.code === '0A000' && error.message.includes('cached plan must not change result type'))
  )
}

/** How far a flight had come when its error came. */
interface Progress {
  readonly entered: boolean
  readonly begun: boolean
}
const PROGRESS = Symbol('progress')

function progressOf(error: unknown): Progress | undefined {
  return error instanceof Error ? (error as { [PROGRESS]?: Progress })[PROGRESS] : undefined
}

/** True where the server refused the tenant's context itself: no role, or no right to it. */
export function refusedEntry(error: unknown): boolean {
  return error instanceof pg.DatabaseError && progressOf(error)?.entered === false
}

/**
 * True where the connection ended before the server began with the statement, as idle connections do when it
 * restarts: the statement can be sent again without any risk.
 */
export function neverBegan(error: unknown): boolean {
  return error instanceof TenantryError && progressOf(error)?.begun === false
}

function failure(error: unknown, moment: Moment, progress: Progress): Error {
  const translated = databaseError(error, moment)
  return Object.assign(translated instanceof Error ? translated : new Error(String(translated)), {
    [PROGRESS]: progress,
  })
}
