import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TenantryError, type Tenancy } from '../../src/index.ts'
import { type PrismaAdapter, prismaForTenants, type PrismaForTenant } from '../../src/orm/prisma.ts'
import { prismaAdapter } from '../../src/orm/prisma/adapter.ts'
import { generatePrisma, type GeneratedPrisma } from '../support/prisma-client.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

const MODELS = `
model Order {
  id    BigInt  @id @default(autoincrement())
  owner String
  note  String?
  @@map("orders")
}
`
interface Order {
  id: bigint
  owner: string
  note: string | null
}
/** What the tests use of the generated client. */
interface Client {
  order: {
    findMany(args?: object): Promise<Order[]>
    findUnique(args: object): Promise<Order | null>
    findFirst(args: object): Promise<Order | null>
    create(args: { data: Partial<Order> }): Promise<Order>
    count(args?: object): Promise<number>
    deleteMany(args: object): Promise<{ count: number }>
  }
  $queryRaw<T>(strings: TemplateStringsArray, ...values: unknown[]): Promise<T>
  $queryRawUnsafe<T>(text: string, ...values: unknown[]): Promise<T>
  $transaction<T>(fn: (tx: Client) => Promise<T>, options?: object): Promise<T>
  $transaction<T extends unknown[]>(queries: { [K in keyof T]: Promise<T[K]> }): Promise<T>
  $extends(extension: object): Client
  $disconnect(): Promise<void>
}
interface Module {
  PrismaClient: new (options: { adapter: PrismaAdapter }) => Client
}

let world: TenantWorld
let tenancy: Tenancy
let generated: GeneratedPrisma<Module>
let prismaForTenant: PrismaForTenant<Client>
beforeAll(async () => {
  generated = await generatePrisma<Module>(MODELS)
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open({ max: 4 })
  prismaForTenant = prismaForTenants(tenancy, (adapter) => new generated.module.PrismaClient({ adapter }))
}, 60_000)
afterAll(async () => {
  await prismaForTenant.db.$disconnect()
  await world.close()
  generated.remove()
})

const ownersOf = async (read: Promise<Order[]>): Promise<string[]> => [
  ...new Set((await read).map(({ owner }) => owner)),
]

test('the client follows the context, and forTenant names a tenant by key, id and record', async () => {
  const acme = world.tenants['acme']
  for (const name of ['acme', acme?.id, acme]) {
    expect(await ownersOf(prismaForTenant(name).order.findMany())).toEqual(['acme'])
  }
  expect(await tenancy.run('globex', () => ownersOf(prismaForTenant.db.order.findMany()))).toEqual(['globex'])
  expect(await tenancy.run('globex', () => ownersOf(prismaForTenant().order.findMany()))).toEqual(['globex'])
  expect(await tenancy.run('globex', () => ownersOf(prismaForTenant('acme').order.findMany()))).toEqual([
    'acme',
  ])
})

test('A1: without a tenant nothing runs', async () => {
  const none = expect.objectContaining({ code: 'TNY201', cause: expect.any(TenantryError) })
  expect(() => prismaForTenant()).toThrow(expect.objectContaining({ code: 'TNY201' }))
  await expect(prismaForTenant.db.order.findMany()).rejects.toEqual(none)
  await expect(prismaForTenant.db.$queryRaw`select 1`).rejects.toEqual(none)
  await expect(prismaForTenant.db.$transaction((tx) => tx.order.findMany())).rejects.toEqual(none)
  await expect(
    prismaForTenant.db.$transaction([prismaForTenant.db.order.findMany(), prismaForTenant.db.order.count()]),
  ).rejects.toEqual(none)
})

test('A1: a query belongs to the context that it was made in, wherever it is awaited', async () => {
  const query = await tenancy.run('acme', () => ({ made: prismaForTenant.db.order.findMany() }))
  expect(await tenancy.run('globex', () => ownersOf(query.made))).toEqual(['acme'])
  // An async function gives up its context before what it returns is awaited.
  expect(await ownersOf(tenancy.run('acme', () => prismaForTenant.db.order.findMany()))).toEqual(['acme'])
})

/** Reads one row by its key for each of the tenants in the same tick. */
async function readTogether(client: Client): Promise<(string | undefined)[]> {
  let start = (): void => undefined
  const together = new Promise<void>((resolve) => (start = resolve))
  const reads = ['acme', 'globex', 'acme', 'globex'].map((key, n) =>
    tenancy.run(key, async () => {
      await together
      // Of two forms: queries of one form become one query, others are sent one by one.
      const select = n < 2 ? undefined : { owner: true }
      return (await client.order.findUnique({ where: { id: 1n }, ...(select && { select }) }))?.owner
    }),
  )
  await sleep(20)
  start()
  return Promise.all(reads)
}

test('A4: findUnique of several tenants in one tick reads each tenant’s own row', async () => {
  expect(await readTogether(prismaForTenant.db)).toEqual(['acme', 'globex', 'acme', 'globex'])
})

test('A4: without that care, Prisma’s loader serves one tenant’s row to another', async () => {
  const careless = new generated.module.PrismaClient({ adapter: prismaAdapter(tenancy.pool) })
  const owners = await readTogether(careless)
  expect(owners).not.toEqual(['acme', 'globex', 'acme', 'globex'])
  await careless.$disconnect()
})
