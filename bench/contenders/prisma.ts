/** Prisma on both sides: one client over Tenantry, and a client for each tenant, as its own users have it. */
import { PrismaPg } from '@prisma/adapter-pg'
import { prismaForTenants } from 'tenantry/prisma'
import { generatePrisma } from '../../dev/prisma-client.ts'
import type { BenchTenant } from '../support/bench-world.ts'
import { ROWS } from '../support/tenant-tables.ts'
import { type OrmPair, type OrmRow, overTenantry, type Reads } from './orms.ts'

const MODELS = `
model Order {
  id       BigInt  @id
  customer String
  amount   Decimal
  @@map("orders")
}
`

interface Client {
  readonly order: { findMany(args: object): Promise<OrmRow[]> }
  $disconnect(): Promise<void>
}
interface Module {
  readonly PrismaClient: new (options: { adapter: object }) => Client
}

/** Generates the client's code and loads it; none of it is left behind. */
export async function preparePrisma(): Promise<OrmPair> {
  const { module, remove } = await generatePrisma<Module>(MODELS)
  remove()
  const { PrismaClient } = module
  return {
    orm: 'prisma',
    tenantry: overTenantry('prisma', (tenancy) => {
      const { db } = prismaForTenants(tenancy, (adapter) => new PrismaClient({ adapter }))
      return prismaReads(() => db)
    }),
    usual({ superuserUrl }) {
      const clients = new Map<string, Client>()
      return {
        name: 'prisma',
        ...prismaReads(({ schema }) => {
          const known = clients.get(schema)
          if (known !== undefined) return known
          const adapter = new PrismaPg({ connectionString: superuserUrl, max: 1 }, { schema })
          const client = new PrismaClient({ adapter })
          clients.set(schema, client)
          return client
        }),
        connections: () => clients.size,
        close: async () => {
          await Promise.all([...clients.values()].map((client) => client.$disconnect()))
        },
      }
    },
  }
}

function prismaReads(clientOf: (tenant: BenchTenant) => Client): Reads {
  return {
    read: (tenant, id) => clientOf(tenant).order.findMany({ where: { id } }),
    list: (tenant) => clientOf(tenant).order.findMany({ orderBy: { id: 'desc' }, take: ROWS }),
  }
}
