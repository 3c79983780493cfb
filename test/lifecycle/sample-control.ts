/** A control plane with one migration and a seed of two rows, in a database of its own. */
import { mkdtemp, rm, writeFile, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ControlPlane, createControlPlane } from '../../src/control-plane.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

export interface SampleControl {
  readonly database: TestDatabase
  readonly control: ControlPlane
  /** The folder of tenant migrations. */
  readonly migrations: string
  /** The SQL file of the seed. */
  readonly seed: string
  close(): Promise<void>
}

/** What sealed tenants' secrets come from. */
export const SAMPLE_MASTER_KEY = 'a master key for tests and long enough to be one'

export async function createSampleControl(): Promise<SampleControl> {
  const database = await createTestDatabase()
  const folder = await mkdtemp(join(tmpdir(), 'tenantry-lifecycle-'))
  const migrations = join(folder, 'tenant')
  const seed = join(folder, 'seed.sql')
  await mkdir(migrations)
  await writeFile(
    join(migrations, '1700000000001_orders.sql'),
    `-- Up Migration
create table orders (id bigint generated always as identity primary key, customer text not null);
-- Down Migration
drop table orders;
`,
  )
  await writeFile(seed, "insert into orders (customer) values ('first'), ('second');")
  const control = createControlPlane({
    connection: database.adminUrl,
    migrations: { tenant: migrations },
    seed,
    masterKey: SAMPLE_MASTER_KEY,
  })
  return {
    database,
    control,
    migrations,
    seed,
    async close() {
      await control.close()
      await database.drop()
      await rm(folder, { recursive: true })
    },
  }
}

/** The customers in a tenant's orders, read by the superuser. */
export async function customersIn(database: TestDatabase, schema: string): Promise<string[]> {
  const rows = await database.sql<{ customer: string }>(`select customer from "${schema}".orders order by id`)
  return rows.map(({ customer }) => customer)
}
