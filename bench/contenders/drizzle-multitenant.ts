/** drizzle-multitenant: a pool of its own for each tenant, fifty of them at most by its default. */
import { eq } from 'drizzle-orm'
import { bigint, numeric, pgTable, text } from 'drizzle-orm/pg-core'
import { createTenantManager, defineConfig } from 'drizzle-multitenant'
import { TABLES } from '../support/tenant-tables.ts'
import type { ReadContender } from './contender.ts'

/** A pool that is ended while a statement waits for it never answers (pg-pool drops its queue). */
const GIVE_UP_MS = 5_000

function tableOf(name: string) {
  return pgTable(name, {
    id: bigint({ mode: 'number' }).primaryKey(),
    customer: text().notNull(),
    amount: numeric().notNull(),
  })
}

/** `tenants.getDb('acme').select().from(orders)`, with the pools that its documentation proposes. */
export function drizzleMultitenantReads(url: string): ReadContender {
  const tables = new Map(TABLES.map((name) => [name as string, tableOf(name)]))
  const manager = createTenantManager(
    defineConfig({
      connection: { url },
      isolation: { strategy: 'schema', schemaNameTemplate: (key) => `tenant_${key}` },
      schemas: { tenant: Object.fromEntries(tables) },
    }),
  )
  return {
    name: 'drizzle_multitenant',
    about: 'a pool a tenant, its defaults (50 pools of up to 10)',
    async read(tenant, name, id) {
      const table = tables.get(name)
      if (table === undefined) throw new Error(`no table ${name}`)
      const rows = await withDeadline(manager.getDb(tenant.key).select().from(table).where(eq(table.id, id)))
      return rows[0]?.customer
    },
    close: () => manager.dispose(),
  }
}

async function withDeadline<T>(work: PromiseLike<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error('no answer')), GIVE_UP_MS)
  try {
    return await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}
