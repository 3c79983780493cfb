/** Carries one Submittable (cursor, stream, COPY) through the gateway, from its first message to its last answer. */
import type pg from 'pg'
import { TenantryError } from '../../core/errors.ts'
import type { Handling } from '../../core/guard.ts'
import { type CopyDirection, Exchange } from '../connection/exchange.ts'
import type { SubmittedQuery } from './submittable.ts'
import { type Batch, type Message, SubmittableWire } from './submittable-wire.ts'

/** Who carries it: a client, within a transaction. */
export interface Carrier {
  /** Judges every text that is about to be sent. */
  check(text: string): Promise<Handling>
  /** Sends one round trip, and begins the transaction before the first. */
  exchange(part: Exchange): Promise<void>
  notice(notice: unknown): void
  /** The transaction is for this alone: its end closes portals. */
  readonly alone: boolean
}

/** The Submittable is asked for its messages at once, as by a connection that is free, and they wait for theirs. */
export class Submission {
  readonly #query: SubmittedQuery
  readonly #wire = new SubmittableWire()
  #began = false
  #over = false

  constructor(query: SubmittedQuery) {
    this.#query = query
    // A COPY TO whose stream is destroyed says nothing to its connection.
    query.once?.('close', () => {
      if (!this.#over) this.#wire.stream.discard()
    })
    const refusal: unknown = query.submit(this.#wire as unknown as pg.Connection)
    // `pg.Query` returns what is wrong with it.
    if (refusal instanceof Error) this.#wire.giveUp(refusal)
  }

  /** Sends what it says, until it has nothing more to say. @throws what the server or the guard says */
  async run(carrier: Carrier): Promise<void> {
    for (;;) {
      const batch = await this.#wire.next()
      const { givenUp } = this.#wire
      if (givenUp !== undefined && !batch.last) throw givenUp
      const copy = await this.#judge(batch, carrier)
      if (!this.#began && this.#query.destroyed === true && copy !== 'copy-in') return
      if (!isIdle(batch, carrier.alone)) await this.#send(batch.messages, copy, carrier)
      if (copy === 'copy-out' && this.#wire.givenUp !== undefined) throw this.#wire.givenUp
      if (batch.last) return
    }
  }

  /** Its user has left: it may finish what is under way, or closed in the same breath, and is else told this error. */
  giveUp(error: Error): void {
    setImmediate(() => {
      if (!this.#over) this.#wire.giveUp(error)
    })
  }

  /** Everything has arrived, and is committed where the transaction was its own. */
  succeed(): void {
    this.#tell(() => {
      this.#wire.stream.feedEnd()
      this.#query.handleReadyForQuery(this.#wire)
    })
  }

  fail(error: unknown): void {
    const reason = error instanceof Error ? error : new Error(String(error))
    this.#wire.stream.shut()
    this.#tell(() => this.#query.handleError(reason, this.#wire))
  }

  /** Off this stack: what its listeners throw is theirs, as it is with node-postgres. */
  #tell(how: () => void): void {
    this.#over = true
    process.nextTick(() => {
      try {
        how()
      } finally {
        this.#wire.finish()
      }
    })
  }

  async #send(messages: readonly Message[], copy: CopyDirection, carrier: Carrier): Promise<void> {
    this.#began = true
    const part = new Exchange(this.#query, this.#wire, messages, copy, (notice) => carrier.notice(notice))
    try {
      await carrier.exchange(part)
    } finally {
      part.detach()
    }
  }

  /** @throws TNY204, TNY210, TNY213 */
  async #judge({ messages }: Batch, carrier: Carrier): Promise<CopyDirection> {
    let copy: CopyDirection
    for (const message of messages) {
      if (message.kind !== 'query' && message.kind !== 'parse') continue
      const handling = await carrier.check(message.text)
      const copies = handling === 'copy-in' || handling === 'copy-out'
      if (copies && message.kind === 'query') copy = handling
      else if (copies) throw refused('COPY in a cursor', 'Use the streams of pg-copy-streams.')
      else if (handling !== 'send' && handling !== 'call' && handling !== 'introspection')
        throw refused('a transaction’s own statement in a query object', 'Send it as a text.')
    }
    return copy
  }
}

/** Nothing to send: no message at all, or portals to close that the end of the transaction closes. */
function isIdle({ messages, last }: Batch, alone: boolean): boolean {
  return messages.length === 0 || (last && alone && messages.every(({ kind }) => kind === 'close'))
}

function refused(what: string, instead: string): TenantryError {
  return new TenantryError('TNY210', { params: { what, instead } })
}
