/** ORMs on both sides: one instance over Tenantry for all tenants, and the way that each ORM's own users go. */
import { desc, eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { bigint, numeric, pgSchema, pgTable, text } from 'drizzle-orm/pg-core'
import knex, { type Knex } from 'knex'
import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { createTenancy, type Tenancy } from 'tenantry'
import { drizzleForTenants } from 'tenantry/drizzle'
import { knexForTenants } from 'tenantry/knex'
import { kyselyForTenants } from 'tenantry/kysely'
import { openBarePool } from '../support/bare-pool.ts'
import type { BenchTenant, BenchWorld } from '../support/bench-world.ts'
import { ROWS } from '../support/tenant-tables.ts'

/** What is read: `customer` says whose row it is. */
export interface OrmRow {
  readonly customer: string
}

/** One ORM, set up in one way. */
export interface OrmContender {
  readonly name: string
  /** One row by its id. */
  read(tenant: BenchTenant, id: number): Promise<OrmRow[]>
  /** All rows of a table, the newest first. */
  list(tenant: BenchTenant): Promise<OrmRow[]>
  /** Connections that are open. */
  connections(): number
  close(): Promise<void>
}

/** An ORM over Tenantry, and by itself. */
export interface OrmPair {
  readonly orm: string
  readonly tenantry: (world: BenchWorld, max: number) => OrmContender
  readonly usual: (world: BenchWorld, max: number) => OrmContender
  /** Another way that its users go, where there are two. */
  readonly clientPerTenant?: (world: BenchWorld) => OrmContender
}

/** What an ORM does for both ways. */
export type Reads = Pick<OrmContender, 'read' | 'list'>

/** @param readsOf made once: one instance, whose calls are for the tenant of the context. */
export function overTenantry(orm: string, readsOf: (tenancy: Tenancy) => Reads): OrmPair['tenantry'] {
  return ({ appUrl }, max) => {
    const tenancy = createTenancy({ connection: appUrl, max })
    const { read, list } = readsOf(tenancy)
    return {
      name: `${orm}_tenantry`,
      read: (tenant, id) => tenancy.run(tenant.id, () => read(tenant, id)),
      list: (tenant) => tenancy.run(tenant.id, () => list(tenant)),
      connections: () => tenancy.pool.totalCount,
      close: () => tenancy.close(),
    }
  }
}

const COLUMNS = ['id', 'customer', 'amount'] as const

/** `withSchema` in every query. */
export const knexPair: OrmPair = {
  orm: 'knex',
  tenantry: overTenantry('knex', (tenancy) => {
    const { db } = knexForTenants(tenancy)
    return knexReads(() => db('orders'))
  }),
  usual({ superuserUrl }, max) {
    const db = knex({ client: 'pg', connection: superuserUrl, pool: { min: 0, max } })
    return {
      name: 'knex',
      ...knexReads((tenant) => db.withSchema(tenant.schema).from('orders')),
      connections: () => {
        const { pool } = db.client as { pool: { numUsed(): number; numFree(): number } }
        return pool.numUsed() + pool.numFree()
      },
      close: () => db.destroy(),
    }
  },
}

function knexReads(orders: (tenant: BenchTenant) => Knex.QueryBuilder): Reads {
  return {
    read: async (tenant, id) => (await orders(tenant).select(COLUMNS).where({ id })) as OrmRow[],
    list: async (tenant) =>
      (await orders(tenant).select(COLUMNS).orderBy('id', 'desc').limit(ROWS)) as OrmRow[],
  }
}

interface Database {
  orders: { id: string; customer: string; amount: string }
}

/** `withSchema` in every query. */
export const kyselyPair: OrmPair = {
  orm: 'kysely',
  tenantry: overTenantry('kysely', (tenancy) => {
    const { db } = kyselyForTenants<Database>(tenancy)
    return kyselyReads(() => db)
  }),
  usual({ superuserUrl }, max) {
    const pool = openBarePool(superuserUrl, max)
    const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) })
    return {
      name: 'kysely',
      ...kyselyReads((tenant) => db.withSchema(tenant.schema)),
      connections: () => pool.totalCount,
      close: () => db.destroy(),
    }
  },
}

function kyselyReads(dbOf: (tenant: BenchTenant) => Pick<Kysely<Database>, 'selectFrom'>): Reads {
  const select = (tenant: BenchTenant) => dbOf(tenant).selectFrom('orders').select(COLUMNS)
  return {
    read: (tenant, id) => select(tenant).where('id', '=', String(id)).execute(),
    list: (tenant) => select(tenant).orderBy('id', 'desc').limit(ROWS).execute(),
  }
}

const columns = {
  id: bigint({ mode: 'number' }).primaryKey(),
  customer: text().notNull(),
  amount: numeric().notNull(),
}

const orders = pgTable('orders', columns)

/** The tables of each tenant, made once and kept; or a client for each, with one connection that has the search path. */
export const drizzlePair: OrmPair = {
  orm: 'drizzle',
  tenantry: overTenantry('drizzle', (tenancy) => {
    const { db } = drizzleForTenants(tenancy)
    return drizzleReads(() => [db, orders])
  }),
  usual({ superuserUrl }, max) {
    const pool = openBarePool(superuserUrl, max)
    const db = drizzle(pool)
    const tables = new Map<string, typeof orders>()
    return {
      name: 'drizzle',
      ...drizzleReads(({ schema }) => {
        const known = tables.get(schema)
        if (known !== undefined) return [db, known]
        const own = pgSchema(schema).table('orders', columns) as unknown as typeof orders
        tables.set(schema, own)
        return [db, own]
      }),
      connections: () => pool.totalCount,
      close: () => pool.end(),
    }
  },
  clientPerTenant({ superuserUrl }) {
    const clients = new Map<string, ReturnType<typeof drizzle<Record<string, never>, pg.Pool>>>()
    return {
      name: 'drizzle_client_per_tenant',
      ...drizzleReads(({ schema }) => {
        const known = clients.get(schema)
        if (known !== undefined) return [known, orders]
        const client = drizzle(openBarePool(withSearchPath(superuserUrl, schema), 1))
        clients.set(schema, client)
        return [client, orders]
      }),
      connections: () => clients.size,
      close: async () => {
        await Promise.all([...clients.values()].map(({ $client }) => $client.end()))
      },
    }
  },
}

function withSearchPath(url: string, schema: string): string {
  const own = new URL(url)
  own.searchParams.set('options', `-c search_path=${schema}`)
  return own.href
}

type DrizzleDb = Pick<ReturnType<typeof drizzle>, 'select'>

function drizzleReads(of: (tenant: BenchTenant) => [DrizzleDb, typeof orders]): Reads {
  return {
    async read(tenant, id) {
      const [db, table] = of(tenant)
      return db.select().from(table).where(eq(table.id, id))
    },
    async list(tenant) {
      const [db, table] = of(tenant)
      return db.select().from(table).orderBy(desc(table.id)).limit(ROWS)
    },
  }
}
