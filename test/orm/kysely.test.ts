import type { Generated, Kysely } from 'kysely'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.ts'
import { type DbForTenant, kyselyForTenants } from '../../src/orm/kysely.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

interface Database {
  orders: { id: Generated<string>; owner: string; note: string | null }
}

let world: TenantWorld
let tenancy: Tenancy
let dbForTenant: DbForTenant<Database>
let db: Kysely<Database>
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open({ max: 3 })
  dbForTenant = kyselyForTenants<Database>(tenancy)
  db = dbForTenant.db
})
afterEach(() => tenancy.poolFor('acme').query('delete from orders where note is not null'))
afterAll(() => world.close())

const add = (into: Kysely<Database>, note: string) =>
  into.insertInto('orders').values({ owner: 'acme', note }).execute()
const notes = async (of: Kysely<Database>): Promise<(string | null)[]> =>
  (await of.selectFrom('orders').select('note').where('note', 'is not', null).orderBy('id').execute()).map(
    ({ note }) => note,
  )

test('a controlled transaction: savepoints, and nothing else is in it', async () => {
  await tenancy.run('acme', async () => {
    const trx = await db.startTransaction().setIsolationLevel('serializable').execute()
    await add(trx, 'one')
    const saved = await trx.savepoint('here').execute()
    await add(saved, 'two')
    await saved.rollbackToSavepoint('here').execute()
    expect(await notes(trx)).toEqual(['one'])
    expect(await notes(db)).toEqual([])
    await trx.commit().execute()
    expect(await notes(db)).toEqual(['one'])
  })
})

test('COMMIT after an error that was caught inside says that nothing was committed', async () => {
  const failing = dbForTenant('acme')
    .transaction()
    .execute(async (trx) => {
      await add(trx, 'lost')
      await trx
        .selectNoFrom((eb) => eb.fn('no_such_function', []).as('x'))
        .execute()
        .catch(() => undefined)
    })
  await expect(failing).rejects.toThrow('rolled back instead of committed')
  expect(await notes(dbForTenant('acme'))).toEqual([])
})

test('A2: copies of the instance, and a reserved connection, carry their transactions to helpers too', async () => {
  const schema = world.tenants['acme']?.home.schema ?? ''
  await tenancy.run('acme', async () => {
    for (const copy of [db.withSchema(schema), db.withoutPlugins(), db.$pickTables<'orders'>()]) {
      await copy
        .transaction()
        .setAccessMode('read write')
        .execute(async (trx) => {
          await add(trx, 'inside')
          expect(await notes(db)).toEqual(['inside'])
          await trx.deleteFrom('orders').where('note', '=', 'inside').execute()
        })
    }
    await db.connection().execute((reserved) =>
      reserved.transaction().execute(async (trx) => {
        await add(trx, 'inside')
        expect(await notes(db)).toEqual(['inside'])
      }),
    )
  })
})

test('S1: the schema of another tenant is refused by the server, the schema module by the guard', async () => {
  const foreign = world.tenants['globex']?.home.schema ?? ''
  await tenancy.run('acme', async () => {
    await expect(db.withSchema(foreign).selectFrom('orders').selectAll().execute()).rejects.toMatchObject({
      code: '42501',
    })
    await expect(db.schema.createTable('t').addColumn('id', 'integer').execute()).rejects.toMatchObject({
      code: 'TNY204',
    })
  })
})
