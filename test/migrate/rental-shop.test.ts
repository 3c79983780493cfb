import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AdminDatabase } from '../../src/core/database.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { compareForms } from '../../src/isolation/shared-form/compare-forms.ts'
import { deleteTenantRows } from '../../src/isolation/shared-form/delete-rows.ts'
import { deriveSharedForm } from '../../src/isolation/shared-form/derive-shared-form.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { describeOnVersions } from '../support/versions.ts'
import { createSharedWorld, type SharedWorld } from './shared-world.ts'

let database: TestDatabase
let admin: AdminDatabase
let world: SharedWorld

const read = (file: string): Promise<string> =>
  readFile(fileURLToPath(new URL(`fixtures/rental-shop/${file}.sql`, import.meta.url)), 'utf8')

/** What the shop does in a day, errors included. Ids are given: the sequences are shared, so that those of tenants differ. */
const DAY = [
  `insert into address (address_id, address, district, city_id, phone) values (1, 'Via A 1', 'Centro', 1, '1')`,
  `with s as (insert into store (store_id, manager_staff_id, address_id) values (1, 1, 1))
    insert into staff (staff_id, first_name, last_name, address_id, store_id, username) values (1, 'Mike', 'H', 1, 1, 'mike')`,
  `insert into store (store_id, manager_staff_id, address_id) values (2, 77, 1)`,
  `insert into staff (staff_id, first_name, last_name, address_id, store_id, username) values (9, 'M', 'H', 1, 1, 'mike')`,
  `insert into customer (customer_id, store_id, first_name, last_name, email, address_id)
    values (1, 1, 'Ann', 'B', 'ann@x', 1), (2, 1, 'Bob', 'C', 'bob@x', 1)`,
  `insert into customer (customer_id, store_id, first_name, last_name, email, address_id) values (3, 1, 'Ann', 'B', 'ANN@X', 1)`,
  `update customer set referrer_id = 1 where customer_id = 2`,
  `insert into film (film_id, title, release_year, language_id, minutes, rating, special_features)
    values (1, 'Academy Dinosaur', 2006, 1, 86, 'PG', '{Trailers}'), (2, 'Zorro', null, 2, 50, 'NC-17', null)`,
  `insert into film (film_id, title, language_id) values (3, 'Zorro', 1)`,
  `insert into film (film_id, title, release_year, language_id) values (4, 'Early', 1800, 1)`,
  `insert into film (film_id, title, language_id) values (5, 'Lost', 99)`,
  `select film_id, fulltext from film where fulltext @@ to_tsquery('dinosaur')`,
  `insert into actor (actor_id, first_name, last_name) values (1, 'Penelope', 'Guiness')`,
  `insert into film_actor (actor_id, film_id) values (1, 1), (1, 2)`,
  `insert into film_category (film_id, category_id) select 1, category_id from category where name = 'Action'`,
  `select actor_id, first_name, categories from actor_info`,
  `insert into inventory (inventory_id, film_id, store_id) values (1, 1, 1), (2, 1, 1)`,
  `insert into rental (rental_id, rental_date, inventory_id, customer_id, staff_id) values (1, '2025-03-01', 1, 1, 1)`,
  `insert into rental (rental_id, rental_date, inventory_id, customer_id, staff_id) values (9, '2025-03-01', 1, 1, 1)`,
  `insert into payment (customer_id, staff_id, rental_id, amount, payment_date) values
    (1, 1, 1, 4.99, '2025-03-01'), (1, 1, 1, 2, '2024-03-01'), (1, 1, null, 3, '2026-01-01')`,
  `insert into payment (customer_id, staff_id, rental_id, amount, payment_date) values (1, 1, 9, 1, '2025-03-01')`,
  `insert into payment (customer_id, staff_id, amount, payment_date) values (1, 1, 1, '1999-01-01')`,
  `select film_in_stock(1, 1) as inventory, customer_balance(1, '2025-12-31') as balance`,
  `select * from sales_by_category`,
  `delete from film where film_id = 1`,
  `update language set language_id = 12 where language_id = 2`,
  `select film_id, language_id from film order by film_id`,
  `delete from rental where rental_id = 1`,
  `delete from customer where customer_id = 1`,
  `select tableoid::regclass::text as part, rental_id, amount from payment order by amount`,
  `delete from payment where rental_id is null`,
  `delete from customer where customer_id = 1`,
  `select customer_id, referrer_id, points from customer order by 1`,
  `select name, address, city, country from customer_list order by 1`,
  `select film_id, title, minutes from all_films order by 1`,
  `select name from category order by name`,
]

describeOnVersions('the same migrations', [15, 18], (version) => {
  beforeAll(async () => {
    database = await createTestDatabase({ version })
    admin = createAdminDatabase(database.adminUrl)
    world = await createSharedWorld(admin)
  })
  afterAll(async () => {
    await world.drop()
    await admin.close()
    await database.drop()
  })

  test(
    'a rental shop’s schema comes out the same for every tenant, and so does its day',
    { timeout: 60_000 },
    async () => {
      await world.migrate(await read('1_films'))
      await world.migrate(await read('2_stores'))
      await world.add('t1')
      await world.migrate(await read('3_views'))
      await world.migrate(await read('4_changes'))
      await world.add('t2')
      expect(await admin.transaction((tx) => compareForms(tx, world.home))).toEqual([])
      const again = await admin.transaction((tx) => deriveSharedForm(tx, world.home))
      expect(again).toMatchObject({ problems: [] })

      const outcomes = { twin: [], t1: [], t2: [] } as Record<string, unknown[]>
      for (const [tenant, seen] of Object.entries(outcomes)) {
        for (const sql of DAY) {
          const outcome = await world.query(tenant, sql).catch((error: unknown) => {
            const { code, constraint } = error as { code?: string; constraint?: string }
            return { code, constraint }
          })
          seen.push(outcome)
        }
      }
      DAY.forEach((sql, index) => {
        expect(outcomes['t1']?.[index], sql).toEqual(outcomes['twin']?.[index])
        expect(outcomes['t2']?.[index], sql).toEqual(outcomes['twin']?.[index])
      })
      const refused = (outcomes['twin'] ?? []).filter((outcome) => !Array.isArray(outcome))
      expect(refused).toHaveLength(11)

      await admin.transaction((tx) => deleteTenantRows(tx, world.home, 't1'))
      expect(await world.query('t1', 'select name from category')).toEqual([])
      expect(await world.query('t2', 'select name from category')).toHaveLength(4)
    },
  )
})
