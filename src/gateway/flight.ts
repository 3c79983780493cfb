/** One round trip: what comes before (BEGIN, the tenant's context) and the statement itself, under one Sync. */
import pg from 'pg'
import type { Binding } from './binding.ts'

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
  readonly stream: { cork(): void; uncork(): void }
  readonly parsedStatements: Record<string, string>
  parse(message: { name?: string; text: string }): void
  bind(message: { statement?: string; values?: readonly (string | null)[] }): void
  execute(message: Record<never, never>): void
  close(message: { type: 'S'; name: string }): void
}

/** The parts of node-postgres' Query that a flight builds on; its typings leave them out. */
interface QueryInternals {
  readonly name: string | undefined
  submit(connection: Wire): Error | null
  handleRowDescription(message: unknown): void
  handleDataRow(message: unknown): void
  handleCommandComplete(message: unknown, connection: unknown): void
  callback: (error: Error | null, result: pg.QueryResult) => void
}

const BaseQuery = pg.Query as unknown as new (config: object) => QueryInternals

/** What goes with the statement. */
export interface FlightLoad {
  /** The tenant to enter first; none for central work and inside a transaction that is bound already. */
  readonly binding?: Binding | undefined
  /** Statements that go before it: BEGIN and SET TRANSACTION of a lazily begun transaction. */
  readonly before?: readonly string[] | undefined
  /** The name to prepare it under; unnamed where undefined. */
  readonly name?: string | undefined
  /** Names of prepared statements to close first. */
  readonly closing?: readonly string[] | undefined
}

/** How a connection sends the context: prepared once under a name, or (through a pooler) unnamed each time. */
export interface ContextStatement {
  readonly named: boolean
  /** True once the server has confirmed the name. */
  ready: boolean
}

/** The context's named statement; PostgreSQL plans it once a connection. */
const CONTEXT_NAME = 'tenantry_context'
const CONTEXT_TEXT = `select set_config('role', $1, true), set_config('search_path', $2, true),
set_config('app.current_tenant', $3, true), set_config('statement_timeout', $4, true),
set_config('idle_in_transaction_session_timeout', $5, true)`

/**
 * PostgreSQL runs everything up to a Sync as one implicit transaction, so settings that are local to it are gone when
 * the answer is there: nothing to reset, nothing left for the next tenant (FINDINGS 1).
 * Source: PostgreSQL manual, 54.2.4 Pipelining.
 */
export class Flight extends BaseQuery {
  readonly #load: FlightLoad
  readonly #context: ContextStatement
  /** Commands whose answers belong to what goes before, and are not the caller's. */
  #skip = 0
  #parsed = 0
  /** At which ParseComplete the server knows the context's name; 0 where it is not being prepared. */
  #contextParse = 0
  readonly onNotice: StatementConfig['onNotice']
  error: Error | undefined
  result: pg.QueryResult | undefined

  constructor(statement: StatementConfig, load: FlightLoad, context: ContextStatement) {
    // Always the extended protocol: the simple one would run stacked statements (S6).
    super({ ...statement, values: statement.values, name: load.name, queryMode: 'extended' })
    this.#load = load
    this.#context = context
    this.onNotice = statement.onNotice
    this.callback = (error, result) => {
      if (error) this.error ??= error
      else this.result = result
    }
  }

  /** True once the server has accepted the tenant's context, so that a later error is the statement's own. */
  get entered(): boolean {
    return this.#skip === 0
  }

  /** True once the server may have run the caller's statement. Answers arrive in order, so this is certain. */
  get begun(): boolean {
    return this.entered && (this.#parsed > 0 || this.name !== undefined)
  }

  override submit(connection: Wire): Error | null {
    const { binding, before = [], closing = [] } = this.#load
    connection.stream.cork()
    try {
      // First of all: what comes after an error is skipped, and the names would stay on the server for ever.
      for (const name of closing) {
        connection.close({ type: 'S', name })
        delete connection.parsedStatements[name]
      }
      for (const text of before) {
        connection.parse({ text })
        connection.bind({})
        connection.execute({})
      }
      if (binding !== undefined) this.#bindContext(connection, binding, before.length)
      this.#skip = before.length + (binding === undefined ? 0 : 1)
      return super.submit(connection)
    } finally {
      connection.stream.uncork()
    }
  }

  #bindContext(connection: Wire, binding: Binding, parsedBefore: number): void {
    const { named, ready } = this.#context
    if (!named) connection.parse({ text: CONTEXT_TEXT })
    else if (!ready) {
      connection.parse({ name: CONTEXT_NAME, text: CONTEXT_TEXT })
      this.#contextParse = parsedBefore + 1
    }
    connection.bind({
      statement: named ? CONTEXT_NAME : '',
      values: [
        binding.role,
        binding.searchPath,
        binding.tenantId,
        binding.statementTimeout,
        binding.idleInTransactionTimeout,
      ],
    })
    connection.execute({})
  }

  /** Called for each ParseComplete: the context's comes after those of `before`. */
  handleParseComplete(): void {
    this.#parsed += 1
    // Noted at ParseComplete, not when sent: a Parse that failed would otherwise poison the name (FINDINGS 8).
    if (this.#parsed === this.#contextParse) this.#context.ready = true
  }

  override handleDataRow(message: unknown): void {
    if (this.#skip === 0) super.handleDataRow(message)
  }

  override handleCommandComplete(message: unknown, connection: unknown): void {
    if (this.#skip > 0) this.#skip -= 1
    else super.handleCommandComplete(message, connection)
  }
}

/** True where a flight must not name its statement: node-postgres takes the first ParseComplete for the statement's. */
export function parsesAhead(load: FlightLoad, context: ContextStatement): boolean {
  return (load.before ?? []).length > 0 || (load.binding !== undefined && !context.ready)
}
