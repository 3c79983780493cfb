/** What a test file waits for: from the call of createTestDatabase to the first row, when the template is there. */
import { join } from 'node:path'
import { seed } from '../examples/orders-express/seed.ts'
import { createTestDatabase } from '../src/testing/test-database.ts'
import type { Bench } from './bench.ts'
import { median, rounded } from './support/statistics.ts'

const MIGRATIONS = join(import.meta.dirname, '../examples/orders-express/migrations')
const SIZES = [2, 10, 50]

interface Times {
  /** To the first row of a tenant. */
  readonly ready: number[]
  /** Of a test that adds a row and undoes it. */
  readonly transaction: number[]
  readonly reset: number[]
  readonly drop: number[]
}

/** `npm run -s bench -- testing`, on the server that test runs share. */
export const testing: Bench = async (_world, { quick }) => {
  const measured = new Map<number, Times>()
  for (const size of SIZES) {
    // The first makes the template.
    await measure(size, { ready: [], transaction: [], reset: [], drop: [] })
    measured.set(size, { ready: [], transaction: [], reset: [], drop: [] })
  }
  // In turns, so that what else the machine does meets all sizes alike.
  for (let round = 0; round < (quick ? 7 : 31); round += 1) {
    for (const [size, times] of measured) await measure(size, times)
  }
  const rows = [...measured].map(([size, times]) => {
    const { ready, transaction, reset, drop } = times
    return [size, ...[ready, transaction, reset, drop].map((each) => rounded(median(each), 1))] as const
  })
  return {
    table: [['tenants', 'ready, ms', 'a test, ms', 'reset, ms', 'drop, ms'], ...rows],
    figures: { readyMs: Object.fromEntries(rows.map(([size, ready]) => [size, ready])) },
    ratio: {},
  }
}

async function measure(size: number, times: Times): Promise<void> {
  const lap = clock()
  const db = await createTestDatabase({
    tenants: Array.from({ length: size }, (_, number) => `tenant-${number}`),
    migrations: { shared: join(MIGRATIONS, 'shared'), tenant: join(MIGRATIONS, 'tenant') },
    seed,
  })
  const orders = db.tenancy.poolFor('tenant-0')
  await orders.query('select from orders')
  times.ready.push(lap())
  await db.inTransaction(() => orders.query("insert into orders (customer, amount) values ('Marvin', 7)"))()
  times.transaction.push(lap())
  await db.reset()
  times.reset.push(lap())
  await db.drop()
  times.drop.push(lap())
}

/** Milliseconds since the last call. */
function clock(): () => number {
  let last = performance.now()
  return () => {
    const now = performance.now()
    const passed = now - last
    last = now
    return passed
  }
}
