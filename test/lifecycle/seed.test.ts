import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Queryable } from '../../src/core/database.ts'
import { createSampleControl, customersIn, type SampleControl } from './sample-control.ts'

let sample: SampleControl
let tenants: SampleControl['control']['tenants']

beforeAll(async () => {
  sample = await createSampleControl()
  tenants = sample.control.tenants
})
afterAll(() => sample.close())

test('a function runs as the tenant, with its path and its context, and cannot leave its schema', async () => {
  await tenants.create({ key: 'neighbour' })
  const seen: unknown[] = []
  await tenants.create({
    key: 'seeded',
    seed: async (db, tenant) => {
      const { rows } = await db.query(
        "select current_user::text as role, current_setting('app.current_tenant') as id, current_schema()::text as schema",
      )
      seen.push(rows[0], { role: tenant.home.role, id: tenant.id, schema: tenant.home.schema })
      await db.query('insert into orders (customer) values ($1)', [tenant.name])
      await db.query('savepoint attack')
      for (const attack of [
        'select * from tenant_neighbour.orders',
        'create table more (id int)',
        'truncate orders',
        'select * from pgmigrations',
        'select * from tenantry.tenants',
      ]) {
        await expect(db.query(attack)).rejects.toMatchObject({ code: '42501' })
        await db.query('rollback to attack')
      }
    },
  })
  expect(seen[0]).toEqual(seen[1])
  expect(await customersIn(sample.database, 'tenant_seeded')).toEqual(['seeded'])
})

test('false means no seed, and a path another file', async () => {
  const { home: empty } = await tenants.create({ key: 'empty', seed: false })
  expect(await customersIn(sample.database, empty.schema)).toEqual([])
  const file = join(sample.migrations, '..', 'other.sql')
  await writeFile(file, "insert into orders (customer) values ('commit; it');")
  const { home } = await tenants.create({ key: 'other-file', seed: file })
  expect(await customersIn(sample.database, home.schema)).toEqual(['commit; it'])
})

test('V1: a seed that would end its transaction is refused, so that it never runs by halves', async () => {
  const file = join(sample.migrations, '..', 'commit.sql')
  await writeFile(
    file,
    "insert into orders (customer) values ('half'); commit; insert into orders values ('x');",
  )
  await expect(tenants.create({ key: 'split', seed: file })).rejects.toMatchObject({ code: 'TNY309' })
  await expect(tenants.get('split')).rejects.toMatchObject({ code: 'TNY302' })
  const missing = tenants.create({ key: 'split', seed: join(file, 'no-such') })
  await expect(missing).rejects.toMatchObject({ code: 'TNY309' })
  const commits = tenants.create({
    key: 'split',
    seed: async (db) => {
      await db.query("insert into orders (customer) values ('half')")
      await db.query('/* end */ COMMIT')
    },
  })
  await expect(commits).rejects.toMatchObject({ code: 'TNY306', cause: { code: 'TNY309' } })
  expect(await customersIn(sample.database, 'tenant_split')).toEqual([])
})

test('a seed that keeps its database beyond its end cannot reach the next statements', async () => {
  let kept: Queryable | undefined
  await tenants.create({
    key: 'keeper',
    seed: async (db) => {
      kept = db
    },
  })
  await expect(kept?.query('select 1')).rejects.toMatchObject({ code: 'TNY309' })
})
