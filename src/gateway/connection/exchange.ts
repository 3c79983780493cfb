/** One round trip of a Submittable: its messages to the server, the answers to it. */
import type { RealSocket } from '../pg-pool/copy-socket.ts'
import type { SubmittedQuery } from '../pg-pool/submittable.ts'
import type { Message, SubmittableWire } from '../pg-pool/submittable-wire.ts'

/** What of node-postgres' connection an exchange writes to. */
interface Protocol {
  readonly stream: RealSocket & { cork(): void; uncork(): void }
  parse(message: { text: string }): void
  bind(message: object): void
  describe(message: { type: 'P'; name: string }): void
  execute(message: { portal?: string; rows?: number | undefined }): void
  close(message: { type: 'P'; name: string }): void
  flush(): void
  sync(): void
  sendCopyFail(reason: string): void
  on(event: 'noData', listener: () => void): void
  off(event: 'noData', listener: () => void): void
}

/** A COPY's direction, as the application sees it; `undefined` for everything else. */
export type CopyDirection = 'copy-in' | 'copy-out' | undefined

/**
 * A Sync ends each, so that every fetch is a statement to the server, with a time limit of its own, and the connection
 * is known to rest between them (FINDINGS 6). Only COPY FROM has its Sync after the data: the server ignores one that
 * comes before (FINDINGS 5; PostgreSQL manual, 54.2.6).
 */
export class Exchange {
  readonly #query: SubmittedQuery
  readonly #wire: SubmittableWire
  #messages: readonly Message[]
  readonly #copy: CopyDirection
  readonly onNotice: (notice: unknown) => void
  #protocol: Protocol | undefined
  #synced = false
  error: Error | undefined

  constructor(
    query: SubmittedQuery,
    wire: SubmittableWire,
    messages: readonly Message[],
    copy: CopyDirection,
    onNotice: (notice: unknown) => void,
  ) {
    this.#query = query
    this.#wire = wire
    this.#messages = messages
    this.#copy = copy
    this.onNotice = onNotice
  }

  /** node-postgres gives its client's type parsers to what is here. */
  get _result(): SubmittedQuery['_result'] {
    return this.#query._result
  }

  /** Puts other texts in the place of its statements', before it is sent. */
  rewrite(change: (text: string) => string): void {
    this.#messages = this.#messages.map((message) =>
      'text' in message ? { kind: message.kind, text: change(message.text) } : message,
    )
  }

  submit(protocol: Protocol): null {
    this.#protocol = protocol
    protocol.on('noData', this.#onNoData)
    if (this.#copy !== undefined) this.#wire.stream.open(protocol.stream, () => this.#sync())
    protocol.stream.cork()
    try {
      for (const message of this.#messages) write(protocol, message, this.#copy !== undefined)
    } catch (error) {
      this.#fail(error)
    }
    if (this.#copy === 'copy-in' && this.error === undefined) protocol.flush()
    else this.#sync()
    protocol.stream.uncork()
    return null
  }

  /** Lets go of the connection, after its ReadyForQuery or its end. */
  detach(): void {
    this.#protocol?.off('noData', this.#onNoData)
    this.#wire.onCopyFail = undefined
    this.#wire.stream.shut()
  }

  handleRowDescription(message: unknown): void {
    this.#tell(() => this.#query.handleRowDescription?.(message))
    this.#tell(() => void this.#wire.emit('rowDescription', message))
  }
  handleDataRow(message: unknown): void {
    this.#tell(() => this.#query.handleDataRow?.(message))
  }
  handlePortalSuspended(): void {
    this.#tell(() => this.#query.handlePortalSuspended?.(this.#wire))
  }
  handleCommandComplete(message: unknown): void {
    this.#tell(() => this.#query.handleCommandComplete?.(message, this.#wire))
  }
  handleEmptyQuery(): void {
    this.#tell(() => this.#query.handleEmptyQuery?.(this.#wire))
  }
  handleCopyInResponse(): void {
    this.#wire.onCopyFail = (reason) => {
      if (!this.#synced) this.#protocol?.sendCopyFail(reason)
      this.#sync()
    }
    this.#tell(() => this.#query.handleCopyInResponse?.(this.#wire))
    if (this.#wire.givenUp !== undefined) this.#wire.onCopyFail(this.#wire.givenUp.message)
  }
  handleCopyData({ chunk }: { chunk: Uint8Array }): void {
    this.#wire.stream.feed(chunk)
  }
  /** Kept until the server is ready again: then the Submittable hears of it. */
  handleError(error: Error): void {
    this.#fail(error)
    this.#sync()
  }
  handleReadyForQuery(): void {}

  readonly #onNoData = (): void => this.#tell(() => void this.#wire.emit('noData'))

  /** Once: the server answers each Sync with a ReadyForQuery of its own. */
  #sync(): void {
    if (!this.#synced) this.#protocol?.sync()
    this.#synced = true
  }

  /** What a Submittable throws (a type parser that fails) ends it, not the process: it hears nothing but the error. */
  #tell(handler: () => void): void {
    if (this.error !== undefined) return
    try {
      handler()
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    this.error ??= error instanceof Error ? error : new Error(String(error))
    if (this.#copy === 'copy-in') this.#wire.stream.shut()
  }
}

function write(protocol: Protocol, message: Message, copies: boolean): void {
  switch (message.kind) {
    case 'query':
      protocol.parse({ text: message.text })
      protocol.bind({})
      if (!copies) protocol.describe({ type: 'P', name: '' })
      return protocol.execute({})
    case 'parse':
      return protocol.parse({ text: message.text })
    case 'bind':
      return protocol.bind(message.fields)
    case 'execute':
      return protocol.execute({ portal: message.portal, rows: message.rows })
    case 'describe':
    case 'close':
      return protocol[message.kind]({ type: 'P', name: message.portal })
  }
}
