/** Stands in for the connection that a Submittable writes to: collects its messages until it waits for an answer. */
import { EventEmitter } from 'node:events'
import { CopySocket } from './copy-socket.ts'

/** One message of a Submittable. `query` is the simple protocol's, and is never sent as such (FINDINGS 5). */
export type Message =
  | { readonly kind: 'query' | 'parse'; readonly text: string }
  | { readonly kind: 'bind'; readonly fields: BindFields }
  | { readonly kind: 'describe' | 'close'; readonly portal: string }
  | { readonly kind: 'execute'; readonly portal: string; readonly rows: number | undefined }

/** What a Bind carries; `valueMapper` turns values into text. */
export interface BindFields {
  readonly portal?: string | undefined
  readonly values?: readonly unknown[] | null | undefined
  readonly binary?: boolean | undefined
  readonly valueMapper?: ((value: unknown) => unknown) | undefined
}

/** What is sent in one round trip. */
export interface Batch {
  readonly messages: readonly Message[]
  /** The Submittable has nothing more to say. */
  readonly last: boolean
}

/**
 * Has of node-postgres' connection what pg-cursor, pg-query-stream, pg-copy-streams and `pg.Query` use. Names of
 * statements are dropped: they would live on a connection that tenants share.
 */
export class SubmittableWire extends EventEmitter {
  readonly stream = new CopySocket()
  /** `pg.Query` looks its name up here: nothing is ever prepared already. */
  readonly parsedStatements: Record<string, string> = {}
  readonly submittedNamedStatements: Record<string, string> = {}
  /** Sends CopyFail, while a COPY FROM runs. */
  onCopyFail: ((reason: string) => void) | undefined
  #messages: Message[] = []
  readonly #batches: Batch[] = []
  #next: PromiseWithResolvers<Batch> | undefined
  /** Why nobody listens to it any more. */
  givenUp: Error | undefined
  #over = false

  parse({ text }: { text: string }): void {
    this.#messages.push({ kind: 'parse', text })
  }
  bind(fields: BindFields): void {
    const { portal, values, binary, valueMapper } = fields
    this.#messages.push({ kind: 'bind', fields: { portal, values, binary, valueMapper } })
  }
  describe({ type, name }: { type: string; name?: string }): void {
    if (type === 'P') this.#messages.push({ kind: 'describe', portal: name ?? '' })
  }
  execute({ portal, rows }: { portal?: string; rows?: number }): void {
    this.#messages.push({ kind: 'execute', portal: portal ?? '', rows })
  }
  close({ type, name }: { type: string; name?: string }): void {
    if (type === 'P') this.#messages.push({ kind: 'close', portal: name ?? '' })
    // A cursor that is closed after all was over waits for an answer to this alone.
    if (this.#over) setImmediate(() => this.emit('readyForQuery'))
  }
  query(text: string): void {
    this.#messages.push({ kind: 'query', text })
    this.#end(true)
  }
  flush(): void {
    this.#end(false)
  }
  sync(): void {
    this.#end(true)
  }
  sendCopyFail(reason: string): void {
    this.onCopyFail?.(reason)
  }
  /** Cursors have a deprecated `end` that would close the connection; it is not theirs. */
  end(): void {
    this.giveUp(new Error('the cursor was ended'))
  }

  /** The next messages, as soon as there are some. Rejects where nobody will write them any more. */
  next(): Promise<Batch> {
    const batch = this.#batches.shift()
    if (batch !== undefined) return Promise.resolve(batch)
    if (this.givenUp !== undefined) return Promise.reject(this.givenUp)
    this.#next = Promise.withResolvers()
    return this.#next.promise
  }

  /** Ends the wait for more messages, now or when it begins. */
  giveUp(error: Error): void {
    this.givenUp ??= error
    this.#next?.reject(this.givenUp)
    this.onCopyFail?.(error.message)
    this.stream.discard()
  }

  /** The Submittable was answered for the last time. */
  finish(): void {
    this.#over = true
    this.stream.shut()
    this.emit('readyForQuery')
  }

  #end(last: boolean): void {
    const batch = { messages: this.#messages.splice(0), last }
    if (this.#over) return
    if (this.#next === undefined) this.#batches.push(batch)
    else this.#next.resolve(batch)
    this.#next = undefined
  }
}
