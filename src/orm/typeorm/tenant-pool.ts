/** What TypeORM's driver takes for `pg`: a pool that connects to tenants, and to nobody else. */
import { EventEmitter } from 'node:events'
import type { QueryRunner } from 'typeorm'
import { TenantryError } from '../../core/errors.ts'
import type { Tenant } from '../../core/tenant.ts'
import type { OrmTenancy } from '../for-tenants.ts'

/** What of a tenancy this adapter uses. */
export interface TypeormTenancy extends OrmTenancy<TypeormPool> {
  /** For what TypeORM asks the server as it starts. */
  readonly central: { query(text: string): Promise<unknown> }
}

/** What TypeORM's driver calls of a pool. */
export interface TypeormPool {
  connect(): Promise<TypeormClient>
}

/** What TypeORM's query runner calls of a client. */
export interface TypeormClient {
  query(text: string, values?: unknown[]): Promise<unknown>
  release(error?: Error | boolean): void
  on(event: string, listener: (error: Error) => void): unknown
  removeListener(event: string, listener: (error: Error) => void): unknown
}

/** What TypeORM asks as it connects, before there is a tenant (typeorm 1.1, PostgresDriver.connect). */
const START_UP = new Set([
  'SELECT version()',
  'SELECT * FROM current_database()',
  'SELECT * FROM current_schema()',
])

type ConnectCallback = (
  error: Error | undefined,
  client?: TypeormClient,
  release?: (error?: Error) => void,
) => void

/** In place of `pg.Pool`. */
export function poolClass(connect: () => Promise<TypeormClient>): new () => EventEmitter {
  return class TenantPool extends EventEmitter {
    connect(callback: ConnectCallback): void {
      connect().then(
        (client) => callback(undefined, client, (error) => client.release(error)),
        (error: unknown) => callback(error as Error),
      )
    }

    end(callback: () => void): void {
      callback()
    }
  }
}

/** That of the tenant of the context. */
export function poolOfContext(tenancy: TypeormTenancy): new () => EventEmitter {
  return poolClass(async () => {
    const tenant = tenancy.context.find()
    return tenant === undefined ? startUpClient(tenancy) : connectTo(tenancy.pool, tenant)
  })
}

const TENANT = Symbol('tenant')

/** A client that remembers whose it is. */
export async function connectTo(pool: TypeormPool, tenant: string | Tenant): Promise<TypeormClient> {
  const client = await pool.connect()
  return Object.assign(client, { [TENANT]: tenant })
}

/** Whose connection a query runner used. */
export function tenantOf(queryRunner: QueryRunner): string | Tenant | undefined {
  const { databaseConnection } = queryRunner as { databaseConnection?: { [TENANT]?: string | Tenant } }
  return databaseConnection?.[TENANT]
}

/** Without a tenant TypeORM gets its first questions answered, and nothing else. */
function startUpClient({ central }: TypeormTenancy): TypeormClient {
  return Object.assign(new EventEmitter(), {
    query: (text: string) =>
      START_UP.has(text) ? central.query(text) : Promise.reject(new TenantryError('TNY201')),
    release: () => undefined,
  })
}
