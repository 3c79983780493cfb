/** What every model keeps, in every tier, on every version: an application sees its tenant, and nothing else. */
import Cursor from 'pg-cursor'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GatewayPool } from '../../src/gateway/pg-pool/gateway-pool.ts'
import type { TenantModel, TenantTier } from '../../src/index.ts'
import type { ServerVersion } from '../support/versions.ts'
import { waitFor } from '../support/wait-for.ts'
import { createModelWorld, type ModelSetting, type ModelWorld } from './model-world.ts'

const MODELS: readonly TenantModel[] = ['shared', 'schema', 'database']
const TIERS: readonly TenantTier[] = ['guarded', 'sealed']

/** The suite for every model and tier of one version. */
export function describeModels(version: ServerVersion): void {
  for (const by of ['direct', 'PgBouncer'] as const) {
    for (const model of MODELS) {
      for (const tier of TIERS) describeModel({ model, tier, version, by })
    }
  }
}

/** The suite for one setting. Each test leaves both tenants as it found them, but for the tests at the end. */
function describeModel(setting: ModelSetting): void {
  const { model, tier, by, version } = setting
  describe(`${model}, ${tier}, ${by}, PostgreSQL ${version}`, () => {
    let world: ModelWorld
    let acme: GatewayPool
    let globex: GatewayPool
    beforeAll(async () => {
      world = await createModelWorld(setting)
      acme = world.tenancy.poolFor('acme')
      globex = world.tenancy.poolFor('globex')
    })
    afterAll(() => world?.close())

    /** Runs `fn` in a transaction of acme's that is rolled back. */
    async function undone(fn: (query: GatewayPool['query']) => Promise<void>): Promise<void> {
      const client = await acme.connect()
      try {
        await client.query('begin')
        await fn(client.query)
      } finally {
        await client.query('rollback')
        client.release()
      }
    }

    async function column(
      pool: Pick<GatewayPool, 'query'>,
      text: string,
      values?: unknown[],
    ): Promise<unknown[]> {
      const { rows } = await pool.query<{ it: unknown }>(text, values)
      return rows.map(({ it }) => it)
    }

    test('each tenant has the rows of migrations and of its seed, and only its own', async () => {
      expect(await column(acme, 'select email as it from customers')).toEqual(['first@acme.example'])
      expect(await column(globex, 'select email as it from customers')).toEqual(['first@globex.example'])
      for (const pool of [acme, globex]) {
        expect(await column(pool, 'select name as it from statuses order by position')).toEqual([
          'open',
          'paid',
        ])
      }
    })

    test('reads, writes, defaults, triggers, views and functions answer as with one tenant', async () => {
      const [customer] = await column(
        acme,
        "insert into customers (email) values ('b@x.example') returning id as it",
      )
      const inserted = await acme.query(
        'insert into orders (customer_id, number, total) values ($1, 7, 12.50), ($1, 8, 1) returning status, changed',
        [customer],
      )
      expect(inserted.rows).toEqual(Array.from({ length: 2 }, () => ({ status: 'open', changed: 0 })))
      expect((await acme.query('update orders set total = total + 1 where number = 7')).rowCount).toBe(1)
      expect(await column(acme, 'select changed as it from orders where number = 7')).toEqual([1])
      expect(await column(acme, 'select number as it from open_orders order by number')).toEqual([7, 8])
      expect(await column(acme, 'select total_of($1)::text as it', [customer])).toEqual(['14.50'])
      expect(await column(globex, 'select count(*)::int as it from orders')).toEqual([0])
      expect(await column(globex, 'select count(*)::int as it from open_orders')).toEqual([0])
      expect((await globex.query('update orders set total = 0')).rowCount).toBe(0)
      expect((await globex.query('delete from orders')).rowCount).toBe(0)
      expect((await acme.query('delete from customers where id = $1', [customer])).rowCount).toBe(1)
      expect(await column(acme, 'select count(*)::int as it from orders')).toEqual([0])
    })

    test('S9: what is unique is so for each tenant; a violation names the same constraint', async () => {
      await acme.query("insert into customers (email) values ('same@x.example')")
      await globex.query("insert into customers (email) values ('same@x.example')")
      await expect(
        acme.query("insert into customers (email) values ('same@x.example')"),
      ).rejects.toMatchObject({
        code: '23505',
        constraint: 'customers_email_key',
      })
      for (const pool of [acme, globex]) await pool.query("delete from customers where email like 'same@%'")
    })

    test('S10: a foreign key refers to the tenant’s own rows', async () => {
      const [foreign] = await column(globex, 'select max(id) + 1000 as it from customers')
      await globex.query('insert into customers (id, email) overriding system value values ($1, $2)', [
        foreign,
        'key@x.example',
      ])
      await expect(
        acme.query('insert into orders (customer_id, number, total) values ($1, 1, 1)', [foreign]),
      ).rejects.toMatchObject({ code: '23503', constraint: 'orders_customer_id_fkey' })
      await globex.query('delete from customers where id = $1', [foreign])
    })

    test('upserts as ORMs write them', async () => {
      const upsert = `insert into customers (email) values ($1)
        on conflict (email) do update set visits = customers.visits + 1 returning visits`
      const visits: unknown[] = []
      for (let turn = 0; turn < 3; turn++) visits.push((await acme.query(upsert, ['up@x.example'])).rows[0])
      expect(visits).toEqual([{ visits: 0 }, { visits: 1 }, { visits: 2 }])
      expect((await globex.query(upsert, ['up@x.example'])).rows).toEqual([{ visits: 0 }])
      const quietly = 'insert into customers (email) values ($1) on conflict (email) do nothing'
      expect((await acme.query(quietly, ['up@x.example'])).rowCount).toBe(0)
      for (const pool of [acme, globex]) await pool.query("delete from customers where email like 'up@%'")
    })

    test('transactions: levels, savepoints, rollback, and a cursor', async () => {
      await undone(async (query) => {
        await query('set transaction isolation level repeatable read')
        await query("insert into customers (email) values ('t@x.example')")
        await query('savepoint here')
        await expect(query("insert into customers (email) values ('t@x.example')")).rejects.toMatchObject({
          code: '23505',
        })
        await query('rollback to savepoint here')
        expect(await column({ query }, 'select count(*)::int as it from customers')).toEqual([2])
      })
      expect(await column(acme, 'select count(*)::int as it from customers')).toEqual([1])
      const client = await acme.connect()
      const cursor = client.query(new Cursor<{ name: string }>('select name from statuses order by position'))
      expect(await cursor.read(1)).toEqual([{ name: 'open' }])
      await cursor.close()
      client.release()
    })

    test('S1, S4: the other tenant’s home is out of reach, by name and by role', async () => {
      const { home } = world.globex
      if (model === 'schema') {
        await expect(acme.query(`select * from ${home.schema}.customers`)).rejects.toMatchObject({
          code: '42501',
        })
      }
      for (const text of [
        `set role ${home.role}`,
        'reset role',
        `set app.current_tenant = '${world.globex.id}'`,
      ]) {
        await expect(acme.query(text)).rejects.toMatchObject({ code: 'TNY204' })
      }
    })

    test('statements interleaved on few connections reach each tenant’s own rows', async () => {
      const answers = await Promise.all(
        Array.from({ length: 60 }, async (_, turn) => {
          const [pool, key] = turn % 2 === 0 ? [acme, 'acme'] : [globex, 'globex']
          const rows = await column(pool, 'select email as it from customers where visits <= $1', [turn])
          return rows.length === 1 && rows[0] === `first@${key}.example`
        }),
      )
      expect(answers.filter((right) => !right)).toEqual([])
    })

    test('a suspended tenant is refused at once, and served again after that', async () => {
      await world.plane.tenants.suspend('acme')
      await expect(acme.query('select from customers')).rejects.toMatchObject({ code: 'TNY211' })
      expect(await column(globex, 'select count(*)::int as it from customers')).toEqual([1])
      await world.plane.tenants.resume('acme')
      // Within a second everywhere: this process may hear of it a moment later.
      await waitFor(() =>
        column(acme, 'select count(*)::int as it from customers').then(
          (counts) => counts[0] === 1,
          () => false,
        ),
      )
    })

    test('a later migration reaches every tenant: columns, rows, what is unique', async () => {
      await acme.query('insert into orders (customer_id, number, total) select min(id), 1, 1 from customers')
      await world.migrate(`
        alter table customers add column country text not null default 'de';
        insert into statuses values ('gone', 3);
        update statuses set position = position * 10;
        alter table orders rename column number to reference;
        create table notes (id uuid primary key default gen_random_uuid(),
          order_id bigint references orders (id) on delete set null, text text, unique (order_id, text));
      `)
      for (const pool of [acme, globex]) {
        expect(await column(pool, 'select country as it from customers')).toEqual(['de'])
        expect(await column(pool, 'select position as it from statuses order by 1')).toEqual([10, 20, 30])
      }
      await acme.query("insert into notes (order_id, text) select id, 'mine' from orders where reference = 1")
      expect(await column(globex, 'select count(*)::int as it from notes')).toEqual([0])
      await acme.query('delete from orders')
      expect(await column(acme, 'select order_id as it from notes')).toEqual([null])
    })

    test('a deleted tenant leaves nothing, and the other keeps all', async () => {
      await world.plane.tenants.delete('acme', { confirm: 'acme' })
      await expect(acme.query('select from customers')).rejects.toMatchObject({ code: 'TNY209' })
      expect(await column(globex, 'select email as it from customers')).toEqual(['first@globex.example'])
    })
  })
}
