/** LISTEN on a direct connection, with a heartbeat that proves it still hears. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { TenantryError } from '../core/errors.ts'
import { findBackend, isPooled } from './connection/answering-backend.ts'

/** How long connecting, and each question of it, may take. */
const CONNECT_TIMEOUT_MS = 5_000

/** What the listener needs; times in milliseconds. */
export interface ListenerOptions {
  readonly config: pg.ClientConfig
  readonly channel: string
  /** How often it proves that it hears; an answer must come within the same time. */
  readonly heartbeatMs: number
  onNotification(payload: string): void
  /** The connection is gone: notifications may be missed from now on. */
  onLost(error: unknown): void
  /** It listens (again): whatever was known before may be outdated. */
  onListening(): void
}

/**
 * PostgreSQL delivers a session's notifications before the answer to its next command, so that an answered heartbeat
 * proves that every change committed before it was sent has been heard. Reconnects by itself, for ever.
 * A pooler in transaction mode answers heartbeats and delivers no notification: what stands in between must prove
 * first that it does. Source: PostgreSQL manual, NOTIFY; FINDINGS 9.
 */
export class Listener {
  readonly #options: ListenerOptions
  readonly #stop = new AbortController()
  /** A channel of this process: one, because a pooler's connections keep what they were told to listen to. */
  readonly #probe = `tenantry_probe_${randomBytes(8).toString('hex')}`
  #confirmedAt = Number.NEGATIVE_INFINITY
  #running: Promise<void> | undefined
  readonly #firstAttempt = Promise.withResolvers<void>()

  constructor(options: ListenerOptions) {
    this.#options = options
  }

  /** Milliseconds since it was last proven to hear everything; Infinity while it does not. */
  get silence(): number {
    return performance.now() - this.#confirmedAt
  }

  /** Resolves when it hears for the first time, when its first attempt failed, or after a second: never rejects. */
  async start(): Promise<void> {
    this.#running ??= this.#run()
    await Promise.race([this.#firstAttempt.promise, this.#pause(1_000)])
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    let pauseMs = 50
    while (!this.#stop.signal.aborted) {
      try {
        await this.#listen(() => (pauseMs = 50))
      } catch (error) {
        if (this.#stop.signal.aborted) return
        this.#confirmedAt = Number.NEGATIVE_INFINITY
        this.#firstAttempt.resolve()
        this.#options.onLost(error)
        // With jitter, or all processes of an application would come back in the same moment.
        await this.#pause(pauseMs * (0.5 + Math.random()))
        pauseMs = Math.min(pauseMs * 2, isDeaf(error) ? 30_000 : 1_000)
      }
    }
  }

  async #listen(onSuccess: () => void): Promise<void> {
    const { config, channel, heartbeatMs, onNotification, onListening } = this.#options
    const client = new pg.Client({ ...config, connectionTimeoutMillis: CONNECT_TIMEOUT_MS })
    const broken = new Promise<never>((_, reject) => {
      client.on('error', reject)
      client.on('end', () => reject(new Error('the listener was disconnected')))
    })
    broken.catch(() => undefined)
    client.on('notification', (message) => {
      if (message.channel === channel) onNotification(message.payload ?? '')
    })
    // A socket that went silent must not hold this up for ever.
    const soon = <T>(answer: Promise<T>): Promise<T> =>
      Promise.race([answer, broken, this.#silence(CONNECT_TIMEOUT_MS)])
    try {
      await client.connect()
      const backend = await soon(findBackend(client))
      const pooled = isPooled(client, backend)
      if (pooled) await soon(this.#requireDelivery(client))
      await soon(client.query(`listen ${pg.escapeIdentifier(channel)}`))
      onListening()
      onSuccess()
      while (!this.#stop.signal.aborted) {
        const sentAt = performance.now()
        const heartbeat = pooled ? requireBackend(client, backend) : client.query('select 1')
        await Promise.race([heartbeat, broken, this.#silence(heartbeatMs)])
        this.#confirmedAt = sentAt
        this.#firstAttempt.resolve()
        await Promise.race([this.#pause(heartbeatMs), broken])
      }
    } finally {
      cut(client)
    }
  }

  /**
   * Another session's notification must arrive while this one asks nothing. One of its own would prove nothing: a
   * pooler passes that on with the answer to NOTIFY (seen: 50 of 50, and 0 of 50 from another session).
   * @throws TNY220
   */
  async #requireDelivery(client: pg.Client): Promise<void> {
    const { config, heartbeatMs } = this.#options
    const heard = Promise.withResolvers<true>()
    client.on('notification', ({ channel }) => channel === this.#probe && heard.resolve(true))
    const sender = new pg.Client({ ...config, connectionTimeoutMillis: CONNECT_TIMEOUT_MS })
    sender.on('error', () => undefined)
    try {
      await sender.connect()
      await client.query(`listen ${this.#probe}`)
      await sender.query(`notify ${this.#probe}`)
      const delivered = await Promise.race([heard.promise, this.#pause(heartbeatMs)])
      if (delivered !== true) throw new TenantryError('TNY220')
    } finally {
      void client.query(`unlisten ${this.#probe}`).catch(() => undefined)
      cut(sender)
    }
  }

  async #silence(ms: number): Promise<never> {
    await this.#pause(ms)
    throw new Error(`the listener got no answer for ${ms} ms`)
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal, ref: false }).catch(() => undefined)
  }
}

/** Another one would answer as readily, and nobody knows whether it listens. @throws TNY220 */
async function requireBackend(client: pg.Client, backend: string | undefined): Promise<void> {
  if ((await findBackend(client)) !== backend) throw new TenantryError('TNY220')
}

/** A set-up that only people can mend: asking every second would be noise. */
function isDeaf(error: unknown): boolean {
  return error instanceof TenantryError && error.code === 'TNY220'
}

/** A connection that may be half open is cut, not asked: the server notices by itself. */
function cut(client: pg.Client): void {
  ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
}
