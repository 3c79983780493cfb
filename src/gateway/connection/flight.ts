/** One round trip: what comes before (BEGIN, the tenant's context) and the statement itself, under one Sync. */
import pg from 'pg'
import type { Binding } from '../binding.ts'
import {
  CONTEXT_NAME,
  CONTEXT_TEXT,
  type ContextStatement,
  type Entry,
  entryOf,
} from './context-statement.ts'
import type { Column, KnownColumns, PreparedStatement } from './statement-names.ts'

/** A statement as node-postgres takes it, callbacks aside. */
export interface StatementConfig {
  readonly text: string
  readonly values?: readonly unknown[] | undefined
  readonly rowMode?: 'array' | undefined
  readonly types?: pg.CustomTypesConfig | undefined
  /** Values of the answer in PostgreSQL's binary form. */
  readonly binary?: boolean | undefined
  /** Aborting it takes the statement out of the queue, or cancels it on the server. */
  readonly signal?: AbortSignal | undefined
  /** Hears the server's notices about this statement. */
  readonly onNotice?: ((notice: unknown) => void) | undefined
}

/** What of node-postgres' connection a flight writes to. */
export interface Wire {
  readonly stream: { cork(): void; uncork(): void; write(bytes: Uint8Array): void }
  parse(message: { name?: string; text: string }): void
  bind(message: {
    statement?: string
    values?: readonly unknown[] | undefined
    binary?: boolean | undefined
    valueMapper?: (value: unknown) => unknown
  }): void
  describe(message: { type: 'P'; name: string }): void
  execute(message: Record<never, never>): void
  close(message: { type: 'S'; name: string }): void
  sync(): void
  sendCopyFail(reason: string): void
}

/** What goes with the statement. */
export interface FlightLoad {
  /** The tenant to enter first; none for central work and inside a transaction that is bound already. */
  readonly binding?: Binding | undefined
  /** Statements that go before it: BEGIN and SET TRANSACTION of a lazily begun transaction. */
  readonly before?: readonly string[] | undefined
}

/** The parts of node-postgres' Result that a flight fills; its typings leave most of them out. */
interface Result {
  fields: readonly Column[]
  _parsers: readonly unknown[] | undefined
  /** What each row is begun as: its columns, all null. */
  _prebuiltEmptyResultObject: object | null
  /** Of the client, unless the statement has its own. */
  readonly _types: pg.CustomTypesConfig | undefined
  addFields(fields: readonly Column[]): void
  parseRow(values: readonly unknown[]): unknown
  addRow(row: unknown): void
  addCommandComplete(message: unknown): void
}
const { Result: PgResult, utils } = pg as unknown as {
  Result: new (rowMode: 'array' | undefined, types: pg.CustomTypesConfig | undefined) => Result
  utils: { prepareValue(this: void, value: unknown): unknown }
}

/**
 * PostgreSQL runs everything up to a Sync as one implicit transaction, so settings that are local to it are gone when
 * the answer is there: nothing to reset, nothing left for the next tenant (FINDINGS 1). Always the extended protocol:
 * the simple one would run stacked statements (S6).
 * A Submittable of node-postgres, which calls what is named `handle…` and gives `_result` its client's type parsers.
 * Source: PostgreSQL manual, 54.2.4 Pipelining.
 */
export class Flight {
  readonly onNotice: StatementConfig['onNotice']
  /** node-postgres sets it where its client's configuration asks for it. */
  binary: boolean | undefined
  readonly _result: Result
  error: Error | undefined
  result: pg.QueryResult | undefined
  readonly #statement: StatementConfig
  readonly #load: FlightLoad
  readonly #context: ContextStatement
  readonly #prepared: PreparedStatement | undefined
  readonly #closing: readonly string[]
  /** Where the connection is the tenant's alone. */
  readonly #entry: Entry | undefined
  /** Commands whose answers belong to what goes before, and are not the caller's. */
  #skip: number
  #parsed = 0
  /** At which ParseComplete the server knows the context's name, and the statement's; 0 where neither is parsed. */
  #contextParse = 0
  #ownParse = 0
  #described = false

  /**
   * @param prepared the statement's name; unnamed where undefined.
   * @param closing names of prepared statements to close first.
   */
  constructor(
    statement: StatementConfig,
    load: FlightLoad,
    context: ContextStatement,
    prepared: PreparedStatement | undefined,
    closing: readonly string[],
  ) {
    this.#statement = statement
    this.#load = load
    this.#context = context
    this.#prepared = prepared
    this.#closing = closing
    this.onNotice = statement.onNotice
    this.binary = statement.binary
    this._result = new PgResult(statement.rowMode, statement.types)
    const { binding, before } = load
    this.#entry = binding === undefined ? undefined : context.resident?.entryOf(binding)
    this.#skip = (before?.length ?? 0) + (binding === undefined ? 0 : (this.#entry?.commands ?? 1))
  }

  /** True once the server has accepted the tenant's context, so that a later error is the statement's own. */
  get entered(): boolean {
    return this.#skip === 0
  }

  /** True once the server may have run the caller's statement. Answers arrive in order, so this is certain. */
  get begun(): boolean {
    return this.entered && this.#parsed >= this.#ownParse
  }

  /** Writes all of it at once. */
  submit(wire: Wire): Error | null {
    wire.stream.cork()
    try {
      // First of all: what comes after an error is skipped, and the names would stay on the server for ever.
      for (const name of this.#closing) wire.close({ type: 'S', name })
      const parsedBefore = this.#writeBefore(wire)
      this.#writeStatement(wire, parsedBefore)
    } catch (error) {
      // A value that could not be written: what went before has no effect of its own.
      this.handleError(error instanceof Error ? error : new Error(String(error)))
    } finally {
      wire.sync()
      wire.stream.uncork()
    }
    return null
  }

  /** @returns how many statements are parsed by it. */
  #writeBefore(wire: Wire): number {
    const { binding, before = [] } = this.#load
    for (const text of before) {
      wire.parse({ text })
      wire.bind({})
      wire.execute({})
    }
    if (binding === undefined) return before.length
    if (this.#entry !== undefined) {
      wire.stream.write(this.#entry.bytes)
      return before.length
    }
    const { named, ready } = this.#context
    if (named && !ready) {
      this.#contextParse = before.length + 1
      // A pooler keeps a name whose Parse failed, and cuts off whoever parses it again; it closes what it does not know.
      wire.close({ type: 'S', name: CONTEXT_NAME })
    }
    if (!named || !ready) wire.parse({ name: named ? CONTEXT_NAME : '', text: CONTEXT_TEXT })
    wire.stream.write(entryOf(binding, this.#context))
    return named && ready ? before.length : before.length + 1
  }

  #writeStatement(wire: Wire, parsedBefore: number): void {
    const { binary } = this
    const { text, values } = this.#statement
    const name = this.#prepared?.name ?? ''
    if (this.#prepared?.ready !== true) {
      this.#ownParse = parsedBefore + 1
      wire.parse({ name, text })
    }
    wire.bind({ statement: name, values, binary, valueMapper: utils.prepareValue })
    const columns = binary === true ? undefined : this.#prepared?.columns
    if (columns === undefined) {
      this.#described = true
      wire.describe({ type: 'P', name: '' })
    } else if (columns !== null) this.#fillIn(columns)
    wire.execute({})
  }

  /** As `addFields` does, which makes the empty row anew: that takes longer than reading a row (pg 8.23, result.js). */
  #fillIn({ fields, emptyRow }: KnownColumns): void {
    const { _types: types = pg.types } = this._result
    this._result.fields = fields
    this._result._parsers = fields.map(({ dataTypeID }) => types.getTypeParser(dataTypeID, 'text'))
    this._result._prebuiltEmptyResultObject = emptyRow
  }

  /** Called for each ParseComplete. Noted then, not when sent: a Parse that failed would poison the name (FINDINGS 8). */
  handleParseComplete(): void {
    this.#parsed += 1
    if (this.#parsed === this.#contextParse) this.#context.ready = true
    if (this.#parsed === this.#ownParse && this.#prepared !== undefined) this.#prepared.ready = true
  }

  handleRowDescription({ fields }: { fields: readonly Column[] }): void {
    this._result.addFields(fields)
    this.#remember({ fields, emptyRow: this._result._prebuiltEmptyResultObject })
  }

  handleDataRow({ fields }: { fields: readonly unknown[] }): void {
    if (this.#skip > 0 || this.error !== undefined) return
    try {
      this._result.addRow(this._result.parseRow(fields))
    } catch (error) {
      // A type parser of the application's.
      this.handleError(error instanceof Error ? error : new Error(String(error)))
    }
  }

  handleCommandComplete(message: unknown): void {
    if (this.#skip > 0) {
      this.#skip -= 1
      return
    }
    this.#remember(null)
    this._result.addCommandComplete(message)
  }

  #remember(columns: KnownColumns | null): void {
    if (!this.#described || this.#prepared === undefined || this.binary === true) return
    this.#prepared.columns = columns
    this.#described = false
  }

  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCopyInResponse(wire: Wire): void {
    wire.sendCopyFail('No source stream defined')
  }
  handleCopyData(): void {}

  /** The first one is the cause of all others. Errors may come after CommandComplete (FINDINGS 6). */
  handleError(error: Error): void {
    this.error ??= error
  }

  handleReadyForQuery(): void {
    if (this.error === undefined) this.result = this._result as unknown as pg.QueryResult
  }
}
