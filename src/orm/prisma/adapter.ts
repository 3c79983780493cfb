/** Prisma's driver adapter for PostgreSQL over pools of tenants, and no schema's name in what it sends. */
import { EventEmitter } from 'node:events'
import { PrismaPg } from '@prisma/adapter-pg'
import { LRUCache } from 'lru-cache'
import { TenantryError } from '../../core/errors.ts'
import { unqualify } from '../../sql/unqualify.ts'

/** What `new PrismaClient({ adapter })` takes. */
export type PrismaAdapter = Pick<PrismaPg, 'provider' | 'adapterName' | 'connect'>

/** What Prisma's adapter calls of a pool. */
export interface PrismaPool {
  query(config: never): Promise<unknown>
  connect(): Promise<PrismaPoolClient>
}

/** What Prisma's adapter calls of a client. */
export interface PrismaPoolClient {
  query(config: never): Promise<unknown>
  release(error?: Error | boolean): void
}

/**
 * Prisma qualifies every table and type with a schema, and would take `public` for want of another. With a name that no
 * schema has, what Prisma added can be told from what the user wrote.
 */
const SENTINEL = '__tenant__'
/** Characters of SQL whose unqualified form is kept. */
const CACHE_CHARACTERS = 4_000_000
const LONGEST_CACHED_TEXT = 100_000

type Send = (config: never) => Promise<unknown>

/** @param tenants the pool of the tenant of the moment, be it a statement's or a transaction's first. */
export function prismaAdapter(tenants: PrismaPool): PrismaAdapter {
  const texts = new LRUCache<string, string>({
    maxSize: CACHE_CHARACTERS,
    sizeCalculation: (short, long) => short.length + long.length + 100,
  })

  function withoutSchema(text: string): string {
    const known = texts.get(text)
    if (known !== undefined) return known
    const short = unqualify(text, SENTINEL)
    if (text.length <= LONGEST_CACHED_TEXT) texts.set(text, short)
    return short
  }
  async function send(query: Send, given: string | { readonly text: string }): Promise<unknown> {
    const config =
      typeof given === 'string' ? withoutSchema(given) : { ...given, text: withoutSchema(given.text) }
    try {
      return await query(config as never)
    } catch (error) {
      throw forPrisma(error)
    }
  }
  const pool = Object.assign(new EventEmitter(), {
    options: {},
    query: (given: string | { readonly text: string }) => send((config) => tenants.query(config), given),
    connect: async () => {
      const client = await tenants.connect().catch((error: unknown) => Promise.reject(forPrisma(error)))
      const query = client.query.bind(client)
      return Object.assign(client, {
        query: (given: string | { readonly text: string }) => send(query, given),
      })
    },
  })

  // It asks for a pool of node-postgres by instanceof, of which an application may hold several copies.
  const factory = new PrismaPg({}, { schema: SENTINEL })
  Reflect.set(factory, 'externalPool', pool)
  return {
    provider: factory.provider,
    adapterName: factory.adapterName,
    async connect() {
      const adapter = await factory.connect()
      // One that took no notice of the pool would connect by itself, to wherever PGHOST leads.
      if ((adapter.underlyingDriver() as object) !== pool) {
        throw new TenantryError('TNY241', {
          params: { orm: '@prisma/adapter-pg', reason: 'it does not take the pool it is given' },
        })
      }
      return adapter
    },
  }
}

/** Prisma makes an error of its own from `code`, `message` and `meta`, and drops everything else. */
function forPrisma(error: unknown): unknown {
  // What aborts has a number for a code, which is none of Prisma's.
  if (error instanceof DOMException) {
    return Object.assign(new Error(error.message, { cause: error }), { name: error.name })
  }
  if (!(error instanceof TenantryError)) return error
  const { code, message } = error
  return Object.assign(new Error(message, { cause: error }), { code, meta: { cause: error } })
}
