/** The first rows of a new tenant. Runs once for each, as the tenant itself. */
import type { Seed } from 'tenantry'

const FIRST_ORDERS: Readonly<Record<string, readonly (readonly [customer: string, amount: number])[]>> = {
  acme: [
    ['Road Runner', 120],
    ['Wile E. Coyote', 89.5],
    ['Bugs Bunny', 15],
  ],
  globex: [
    ['Hank Scorpio', 9900],
    ['Homer Simpson', 42],
  ],
  initech: [
    ['Milton Waddams', 7],
    ['Bill Lumbergh', 1300],
  ],
  umbrella: [
    ['Albert Wesker', 2500],
    ['Jill Valentine', 75],
  ],
}

export const seed: Seed = async (db, tenant) => {
  for (const [customer, amount] of FIRST_ORDERS[tenant.key] ?? []) {
    await db.query('insert into orders (customer, amount) values ($1, $2)', [customer, amount])
  }
}
