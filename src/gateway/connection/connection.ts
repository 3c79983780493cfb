/** One physical connection: sends one flight at a time and knows in what state the server left it. */
import pg from 'pg'
import { TenantryError } from '../../core/errors.ts'
import { findBackend, isPooled } from './answering-backend.ts'
import type { Binding } from '../binding.ts'
import { carriesNames } from './carried-names.ts'
import type { ConnectionSettings } from './connection-settings.ts'
import type { ContextStatement } from './context-statement.ts'
import { databaseError, endsConnection, flightError, type Moment, refusedSettings } from './database-error.ts'
import { Deadline } from './deadline.ts'
import type { Exchange } from './exchange.ts'
import { withSettings } from '../pool/other-config.ts'
import { Flight, type FlightLoad, type StatementConfig } from './flight.ts'
import { LeftSettings } from './left-settings.ts'
import { ResidentContext, residentSettings } from './resident-context.ts'
import { abortReason, isCancelled, StatementCancel } from './statement-cancel.ts'
import { StatementNames } from './statement-names.ts'

/** ReadyForQuery's status: idle, in a transaction, in a failed one. */
export type TransactionStatus = 'I' | 'T' | 'E'

/** node-postgres' protocol layer, as far as the gateway listens to it. */
interface Protocol {
  on(event: 'parseComplete', listener: () => void): void
  on(
    event: 'parameterStatus',
    listener: (report: { parameterName: string; parameterValue: string }) => void,
  ): void
  prependListener(event: 'readyForQuery', listener: (message: { status: TransactionStatus }) => void): void
  stream: { destroy(): void }
}

/** What node-postgres knows of its backend; its typings leave it out. */
interface Backend {
  readonly connection: Protocol
  readonly host: string
  readonly port: number
  readonly processID: number
  readonly secretKey: number
}

/** What a flight carries beside its statement. */
export interface FlightOptions extends FlightLoad {
  /** True for COMMIT: a lost connection then leaves the outcome unknown. */
  readonly commits?: boolean | undefined
}

/** As long again as the limit, within these. The server's own limit comes first, and says more. */
const GRACE_MS = { least: 500, most: 5_000 }

/** A connection that belongs to nobody for longer than a statement or a transaction. */
export class Connection {
  readonly openedAt = performance.now()
  /** Once true, it must not be used again. */
  broken = false
  /** It serves one tenant alone, and that one has changed: a new one costs each statement less. */
  outdated = false
  /** Told of its loss, where nothing is under way that would fail with it. */
  whenLost: ((error: TenantryError) => void) | undefined
  readonly #client: pg.Client
  readonly #settings: ConnectionSettings
  readonly #context: ContextStatement
  readonly #resident: ResidentContext | undefined
  readonly #left: LeftSettings
  readonly #names: StatementNames
  readonly #touched = new Set<string>()
  /** A server or network that says nothing any more would hold the caller, and this connection, for ever. */
  readonly #silence = new Deadline((ms) => {
    this.#onLost(new Error(`Connection terminated: no answer for ${ms} ms`))
    this.close()
  })
  #status: TransactionStatus = 'I'
  #underWay: Flight | Exchange | undefined
  #settle: (() => void) | undefined
  #lost: Error | undefined
  /** Of the flight before: whose transaction is open. */
  #binding: Binding | undefined
  #timeLimitMs = 0
  /** The transaction has set a time limit of its own, which ours must not undercut. */
  #ownTimeLimit = false

  private constructor(
    client: pg.Client,
    settings: ConnectionSettings,
    { resident, left }: { readonly resident: ResidentContext | undefined; readonly left: LeftSettings },
    onEnd: () => void,
  ) {
    this.#client = client
    this.#settings = settings
    this.#resident = resident
    this.#left = left
    this.#context = { named: settings.named || settings.carried === true, ready: false, resident }
    this.#names = new StatementNames(settings.repeated)
    const { connection: protocol } = client as unknown as Backend
    protocol.on('parseComplete', () => {
      if (this.#underWay instanceof Flight) this.#underWay.handleParseComplete()
    })
    protocol.prependListener('readyForQuery', ({ status }) => (this.#status = status))
    // 'drain' follows ReadyForQuery. Errors come before it, some even after CommandComplete (FINDINGS 6), so that
    // only then is a flight over and the connection free.
    client.on('drain', () => this.#settle?.())
    client.on('notice', (notice) => this.#underWay?.onNotice?.(notice))
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
    const { config } = settings
    const tenant = settings.named ? settings.resident?.() : undefined
    const residing = tenant && withSettings(config, residentSettings(tenant))
    const client = new pg.Client(residing ?? config)
    // A client emits 'error' without a listener only once, and that would end the process.
    client.on('error', () => undefined)
    const { connection: protocol } = client as unknown as Backend
    const { stream } = protocol
    const left = new LeftSettings(protocol)
    const silent = setTimeout(() => stream.destroy(), config.connectionTimeoutMillis ?? 10_000)
    try {
      await client.connect()
      // A pooler that nobody told us of would hand a name to a backend where it means another tenant's statement (P1).
      const named = settings.named && !isPooled(client, await findBackend(client))
      const carried = settings.carried === true && (await carriesNames(client))
      const resident = tenant && named ? await ResidentContext.settle(client, tenant) : undefined
      return new Connection(client, { ...settings, named, carried }, { resident, left }, onEnd)
    } catch (error) {
      stream.destroy()
      // A pooler that nobody told us of may not take settings.
      if (tenant !== undefined && refusedSettings(error)) {
        return await Connection.open({ ...settings, named: false }, onEnd)
      }
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

  /** Whether the same backend answers each time: not so behind a pooler in transaction mode. */
  get ownsBackend(): boolean {
    return this.#settings.named
  }

  /** Whether its session has settings that a function left, which would go on to the next tenant. */
  get isAltered(): boolean {
    // A context that stays is gone back to with all else.
    return this.#resident === undefined && this.#left.isAltered
  }

  /** A schema changed, a tenant's or (where undefined) one that all use: what was prepared before does not hold. */
  forgetStatements(tenantId: string | undefined): void {
    this.#names.forgetAll(tenantId)
  }

  /** As the server said it last. */
  get status(): TransactionStatus {
    return this.#status
  }

  /**
   * Sends one statement in one round trip and waits until the server is ready again.
   * @throws the statement's own error, TNY212 (or TNY206 for COMMIT) where the connection was lost or went silent,
   * the signal's reason where it was aborted.
   */
  async send(given: StatementConfig, options: FlightOptions = {}): Promise<pg.QueryResult> {
    const binding = this.#enter(options)
    const { tenantId } = binding ?? {}
    const statement = binding?.shared === true ? this.#completed(given) : given
    if (binding?.common === true) this.#settings.forCommonTables?.(given.text)
    const { text, signal } = statement
    const moment: Moment = options.commits === true ? 'commit' : 'statement'
    const isAlone = options.binding !== undefined && options.before === undefined
    if (!isAlone && /\bstatement_timeout\b/i.test(text)) this.#ownTimeLimit = true
    let prepared =
      binding !== undefined && this.#settings.named ? this.#names.find(binding.scope, text) : undefined
    for (;;) {
      if (this.#lost !== undefined) throw flightError(this.#lost, moment, { entered: false, begun: false })
      signal?.throwIfAborted()
      const named = prepared?.ready === true
      const flight = new Flight(statement, options, this.#context, prepared, this.#names.takeClosing())
      const sentAt = this.#settings.events.has('flight:done') ? performance.now() : undefined
      await (signal === undefined ? this.#perform(flight) : this.#performUntil(signal, flight))
      if (this.#status === 'I') this.#ownTimeLimit = false
      // What the server said of the statement goes before the loss that followed it.
      const error = flight.error ?? this.#lost
      if (sentAt !== undefined) {
        const tookMs = performance.now() - sentAt
        this.#settings.events.emit('flight:done', { tenantId, tookMs, named, ok: error === undefined })
      }
      if (error === undefined && flight.result !== undefined) return flight.result
      if (endsConnection(error)) this.broken = true
      if (!flight.entered && misnamed(error)) {
        // A pooler that was set to carry names no longer. Nothing has run, and the next connection asks it anew.
        this.broken = true
        const cause = new Error('Connection terminated: the pooler lost the context', { cause: error })
        throw flightError(cause, moment, { entered: false, begun: false })
      }
      if (prepared !== undefined && binding !== undefined && misfits(error)) {
        // The plan was made for columns that changed since, or the server dropped it. Nothing has run yet.
        this.#names.forget(binding.scope, text)
        prepared = undefined
        if (this.#status === 'I') continue
      }
      if (signal?.aborted === true && isCancelled(error)) throw abortReason(signal)
      // A connection that just broke proves nothing: the answer may be what was lost.
      const begun = flight.begun || !(error instanceof pg.DatabaseError)
      throw flightError(error, moment, { entered: flight.entered, begun })
    }
  }

  /** Whose transaction or statement this is: the one bound now, or bound before and still open. */
  #enter({ binding, before }: FlightOptions): Binding | undefined {
    if (binding !== undefined) {
      this.#timeLimitMs = Number(binding.statementTimeout)
      if (this.#resident?.isOutdatedBy(binding) === true) this.outdated = true
      this.#touched.add(binding.roams ? binding.scope : binding.tenantId)
    } else {
      if (this.#status !== 'I' && before === undefined) return this.#binding
      this.#timeLimitMs = this.#settings.statementTimeoutMs
    }
    return (this.#binding = binding)
  }

  /** As it must read in tables that tenants share. */
  #completed(statement: StatementConfig): StatementConfig {
    const text = this.#settings.forSharedTables(statement.text)
    return text === statement.text ? statement : { ...statement, text }
  }

  /**
   * One round trip of a Submittable, inside a transaction.
   * @throws what the server says of it, TNY212 where the connection was lost.
   */
  async exchange(part: Exchange): Promise<void> {
    if (this.#lost !== undefined) throw databaseError(this.#lost, 'statement')
    if (this.#binding?.shared === true) part.rewrite((text) => this.#settings.forSharedTables(text))
    if (this.#binding?.common === true) {
      part.rewrite((text) => {
        this.#settings.forCommonTables?.(text)
        return text
      })
    }
    // COPY too has the time limit: the server counts the time of its data as the statement's.
    await this.#perform(part)
    const error = part.error ?? this.#lost
    if (error === undefined) return
    if (endsConnection(error)) this.broken = true
    throw databaseError(error, 'statement')
  }

  /** Resolves when the server is ready again, or the connection is lost. */
  async #perform(part: Flight | Exchange): Promise<void> {
    if (this.#timeLimitMs > 0 && !this.#ownTimeLimit) {
      const { least, most } = GRACE_MS
      this.#silence.set(this.#timeLimitMs + Math.min(Math.max(this.#timeLimitMs, least), most))
    }
    await new Promise<void>((resolve) => {
      this.#underWay = part
      this.#settle = resolve
      this.#client.query(part as unknown as pg.Submittable)
    })
    this.#underWay = undefined
    this.#settle = undefined
    this.#silence.clear()
  }

  /** The same, and cancels it where the signal is aborted. */
  async #performUntil(signal: AbortSignal, flight: Flight): Promise<void> {
    const { host, port, processID, secretKey } = this.#client as unknown as Backend
    const cancel = new StatementCancel(signal, { host, port, processId: processID, secretKey })
    await this.#perform(flight)
    const outcome = await cancel.settle()
    if (outcome === 'none') return
    // It may arrive yet, when the backend works for somebody else; through a pooler that is always so.
    if (outcome === 'unknown' || !this.#settings.named) this.close()
    else if (!this.broken) {
      await this.#perform(new Flight({ text: '' }, {}, this.#context, undefined, []))
      if (this.#lost !== undefined) this.broken = true
    }
  }

  /** Closes it; a connection in doubt is cut rather than asked. */
  close(): void {
    this.broken = true
    this.#silence.stop()
    if (this.#underWay !== undefined) (this.#client as unknown as Backend).connection.stream.destroy()
    void this.#client.end().catch(() => undefined)
  }

  #onLost(error: Error): void {
    this.broken = true
    this.#lost ??= error
    this.whenLost?.(new TenantryError('TNY212', { cause: error }))
    this.#settle?.()
  }
}

/** Errors of a prepared statement's name, which say nothing about the statement itself (FINDINGS 8). */
function misfits(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false
  return (
    misnamed(error) ||
    (error.code === '0A000' && error.message.includes('cached plan must not change result type'))
  )
}

function misnamed(error: unknown): boolean {
  return error instanceof pg.DatabaseError && (error.code === '26000' || error.code === '42P05')
}
