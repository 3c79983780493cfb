/** MikroORM's connection to PostgreSQL, over a pool of the gateway in place of its own. */
import { PostgreSqlConnection } from '@mikro-orm/postgresql'

/** What MikroORM calls of a pool. */
export interface MikroOrmPool {
  connect(): Promise<MikroOrmClient>
}

/** What MikroORM calls of a client. */
export interface MikroOrmClient {
  query(...args: never[]): unknown
  release(error?: Error | boolean): void
}

type Overrides = Parameters<PostgreSqlConnection['createKyselyDialect']>[0]
type Dialect = ReturnType<PostgreSqlConnection['createKyselyDialect']>
type Query = (query: unknown) => unknown
/** What MikroORM would connect with; what it brings is how values are read. */
type OwnPool = Record<'connect' | 'query' | 'end' | 'Client', unknown> & {
  readonly options: { readonly types: unknown }
}

/** @throws what `connect` throws, for each statement and transaction */
export class TenantConnection extends PostgreSqlConnection {
  readonly #connect: () => Promise<MikroOrmClient>

  constructor(
    config: ConstructorParameters<typeof PostgreSqlConnection>[0],
    connect: () => Promise<MikroOrmClient>,
  ) {
    super(config)
    this.#connect = connect
  }

  override createKyselyDialect(): Dialect {
    const overrides = { onPoolCreated: (pool: OwnPool) => this.#takeOver(pool) }
    return super.createKyselyDialect(overrides as Overrides)
  }

  /** From here on it connects nowhere by itself, not even to cancel a statement. */
  #takeOver(pool: OwnPool): void {
    const { types } = pool.options
    Object.assign(pool, {
      connect: async () => readingAs(types, await this.#connect()),
      query: () => Promise.reject(new Error('not used: statements go over connect()')),
      end: () => Promise.resolve(),
      Client: undefined,
    })
  }
}

/** The client, with MikroORM's own way to read values in all that it runs. */
function readingAs(types: unknown, client: MikroOrmClient): MikroOrmClient {
  const query = client.query.bind(client) as Query
  return Object.assign(client, {
    query(given: unknown, values?: unknown) {
      if (typeof given === 'string') return query({ text: given, values, types })
      const cursor = given as { _result?: { _types?: unknown } }
      if (cursor._result !== undefined) cursor._result._types ??= types
      return query(cursor)
    },
  })
}
