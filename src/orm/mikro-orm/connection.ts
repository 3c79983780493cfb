/** MikroORM's connection to PostgreSQL, over a pool of the gateway in place of its own. */
import { PostgreSqlConnection } from '@mikro-orm/postgresql'
import { TenantryError } from '../../core/errors.ts'

/** What MikroORM calls of a pool. */
export interface MikroOrmPool {
  connect(): Promise<MikroOrmClient>
}

/** What MikroORM calls of a client. */
export interface MikroOrmClient {
  query(...args: never[]): unknown
  release(error?: Error | boolean): void
}

/** Where a connection leads. */
export interface Line {
  connect(): Promise<MikroOrmClient>
  /** Asked before each statement. @throws where it may not be sent from here */
  check(): void
}

type Config = ConstructorParameters<typeof PostgreSqlConnection>[0]
type Overrides = Parameters<PostgreSqlConnection['createKyselyDialect']>[0]
type Dialect = ReturnType<PostgreSqlConnection['createKyselyDialect']>
type Query = (query: unknown) => Promise<unknown>
/** What MikroORM would connect with. What it brings along is how values are read. */
interface OwnPool {
  readonly options: { readonly types: unknown }
}

/** One of these for each tenant; none holds a connection. */
export class TenantConnection extends PostgreSqlConnection {
  readonly #line: Line

  constructor(config: Config, line: Line) {
    super(config)
    this.#line = line
  }

  override createKyselyDialect(): Dialect {
    const overrides = { onPoolCreated: (pool: OwnPool) => this.#takeOver(pool) }
    return super.createKyselyDialect(overrides as Overrides)
  }

  /** From here on it connects nowhere by itself, not even to cancel a statement. */
  #takeOver(pool: OwnPool): void {
    const { types } = pool.options
    Object.assign(pool, {
      connect: async () => {
        const client = await this.#line.connect().catch(rethrow)
        return fitting(client, types, () => this.#line.check())
      },
      query: () => Promise.reject(new Error('not used: statements go over connect()')),
      end: () => Promise.resolve(),
      Client: undefined,
    })
  }
}

/** The client, with MikroORM's own way to read values in all that it runs. */
function fitting(client: MikroOrmClient, types: unknown, check: () => void): MikroOrmClient {
  const query = client.query.bind(client) as Query
  return Object.assign(client, {
    async run(text: string, values: unknown): Promise<unknown> {
      check()
      return query({ text, values, types })
    },
    query(given: unknown, values?: unknown) {
      if (typeof given === 'string') return this.run(given, values).catch(rethrow)
      check()
      const cursor = given as { _result?: { _types?: unknown } }
      if (cursor._result !== undefined) cursor._result._types ??= types
      return query(cursor)
    },
  })
}

/** MikroORM's own error class takes over what the error underneath has of its own: with this, a cause. */
function rethrow(error: unknown): never {
  if (!(error instanceof TenantryError)) throw error
  throw Object.assign(new Error(error.message, { cause: error }), { code: error.code })
}
