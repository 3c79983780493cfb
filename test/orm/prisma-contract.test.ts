import { afterAll, expect } from 'vitest'
import { generatePrisma } from '../../dev/prisma-client.ts'
import { type PrismaAdapter, prismaForTenants } from '../../src/orm/prisma.ts'
import { describeOrm } from './describe-orm.ts'
import type { Customer, OrmSession, OrmUnderTest, Sample } from './orm-under-test.ts'

const MODELS = `
model Customer {
  id     Int     @id @default(autoincrement())
  email  String  @unique
  visits Int     @default(0)
  orders Order[]
  @@map("customers")
}
model Order {
  id         Int      @id @default(autoincrement())
  customerId Int      @map("customer_id")
  number     Int
  customer   Customer @relation(fields: [customerId], references: [id], onDelete: Cascade)
  @@map("orders")
}
model Sample {
  id     Int       @id @default(autoincrement())
  words  String?
  big    BigInt?
  flag   Boolean?
  at     DateTime? @db.Timestamptz(6)
  doc    Json?
  tags   String[]
  bytes  Bytes?
  amount Decimal?  @db.Decimal(20, 4)
  @@map("samples")
}
`

/** What is used of the generated client, which is made as the test runs. */
interface Client {
  customer: {
    create(args: object): Promise<Customer>
    createMany(args: object): Promise<{ count: number }>
    findUnique(args: object): Promise<Customer | null>
    findMany(args: object): Promise<(Customer & { orders: { number: number }[] })[]>
    updateMany(args: object): Promise<{ count: number }>
    deleteMany(args: object): Promise<{ count: number }>
    count(): Promise<number>
    aggregate(args: object): Promise<{ _sum: { visits: number | null } }>
    upsert(args: object): Promise<Customer>
  }
  order: {
    create(args: object): Promise<object>
    findMany(args: object): Promise<{ number: number; customer: { email: string } }[]>
  }
  sample: {
    create(args: object): Promise<{ id: number }>
    findUnique(
      args: object,
    ): Promise<(Omit<Sample, 'amount'> & { amount: { toFixed(n: number): string } }) | null>
  }
  $queryRawUnsafe<R>(text: string, ...values: unknown[]): Promise<R>
  $transaction<T>(fn: (tx: Client) => Promise<T>, options?: object): Promise<T>
  $disconnect(): Promise<void>
}
interface Module {
  PrismaClient: new (options: object) => Client
  Prisma: { DbNull: object; PrismaClientKnownRequestError: typeof Error }
}

const generated = await generatePrisma<Module>(MODELS)
const { PrismaClient, Prisma } = generated.module
afterAll(() => generated.remove())

const ORM: OrmUnderTest = {
  name: 'Prisma',
  lacks: {
    streams: 'Prisma has no streams',
    'read-only': 'Prisma begins no read-only transactions',
    'type-parsers': 'Prisma reads values in a way of its own',
  },
  open(tenancy) {
    const prismaForTenant = prismaForTenants(
      tenancy,
      (adapter: PrismaAdapter) =>
        // The machine may be busy.
        new PrismaClient({ adapter, transactionOptions: { maxWait: 20_000, timeout: 20_000 } }),
    )
    return {
      db: sessionOf(prismaForTenant.db),
      forTenant: (tenant) => sessionOf(prismaForTenant(tenant)),
      close: () => prismaForTenant.db.$disconnect(),
    }
  },
  readDatabaseError(error) {
    expect(error).toBeInstanceOf(Prisma.PrismaClientKnownRequestError)
    const { meta } = error as { meta?: { driverAdapterError?: { cause: DriverError } } }
    const { originalCode = '', constraint } = meta?.driverAdapterError?.cause ?? {}
    return { code: originalCode, constraint: constraint?.index }
  },
}
interface DriverError {
  readonly originalCode?: string
  readonly constraint?: { readonly index?: string }
}

function sessionOf(db: Client): OrmSession {
  return {
    create: (data) => db.customer.create({ data }),
    createMany: async (data) => void (await db.customer.createMany({ data })),
    find: async (email) => (await db.customer.findUnique({ where: { email } })) ?? undefined,
    list: ({ limit, offset }) => db.customer.findMany({ orderBy: { id: 'asc' }, take: limit, skip: offset }),
    setVisits: async (email, visits) =>
      (await db.customer.updateMany({ where: { email }, data: { visits } })).count,
    remove: async (email) => (await db.customer.deleteMany({ where: { email } })).count,
    count: () => db.customer.count(),
    sumVisits: async () => (await db.customer.aggregate({ _sum: { visits: true } }))._sum.visits ?? 0,
    upsert: ({ email, visits }) =>
      db.customer.upsert({ where: { email }, create: { email, visits }, update: { visits } }),
    addOrder: async ({ customerId, number }) =>
      void (await db.order.create({ data: { customerId, number } })),
    async ordersWithCustomer() {
      const found = await db.order.findMany({ include: { customer: true }, orderBy: { number: 'asc' } })
      return found.map(({ number, customer: { email } }) => ({ number, email }))
    },
    async customersWithOrders() {
      const found = await db.customer.findMany({
        where: { orders: { some: {} } },
        include: { orders: { orderBy: { number: 'asc' } } },
        orderBy: { id: 'asc' },
      })
      return found.map(({ email, orders }) => ({ email, numbers: orders.map(({ number }) => number) }))
    },
    raw: (text, values = []) => db.$queryRawUnsafe(text, ...values),
    async saveSample({ tags, doc, ...data }) {
      const list = tags === null ? {} : { tags }
      return (await db.sample.create({ data: { ...data, ...list, doc: doc ?? Prisma.DbNull } })).id
    },
    async findSample(id) {
      const row = await db.sample.findUnique({ where: { id } })
      if (row === null) return undefined
      // A list is never null in Prisma.
      const [list] = await db.$queryRawUnsafe<Pick<Sample, 'tags'>[]>(
        'select tags from samples where id = $1',
        id,
      )
      return { ...row, amount: row.amount && row.amount.toFixed(4), tags: list?.tags ?? null }
    },
    transaction: (fn, { isolation } = {}) =>
      db.$transaction((tx) => fn(sessionOf(tx)), {
        ...(isolation && {
          isolationLevel: isolation === 'serializable' ? 'Serializable' : 'RepeatableRead',
        }),
      }),
  }
}

describeOrm(ORM)
