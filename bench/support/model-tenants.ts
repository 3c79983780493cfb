/** Tenants of several models and tiers with the same table and rows, in a database of their own on the benchmarks' server. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createControlPlane, type Home, type TenantModel, type TenantTier } from 'tenantry'
import { prepareDatabase } from '../../dev/project.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { withLogin } from '../../src/isolation/logins.ts'
import type { BenchWorld } from './bench-world.ts'
import { ROWS, tableSql } from './tenant-tables.ts'

/** A tenant, and where contenders that write their SQL by hand find its rows. */
export interface ModelTenant {
  readonly id: string
  readonly key: string
  readonly home: Home
}

/** What tenants are made as. */
export interface TenantKind {
  readonly model: TenantModel
  readonly tier: TenantTier
}

/** The tenants of each kind, and who reaches them. */
export interface TenantsOfKinds<Kind extends string> {
  readonly appUrl: string
  readonly superuserUrl: string
  readonly masterKey: string
  readonly of: Readonly<Record<Kind, readonly ModelTenant[]>>
  /** Removes what was made: the other benchmarks' server stays as it was. */
  close(): Promise<void>
}

/** Databases of tenants' own are sealed unless somebody chooses otherwise. */
const MODEL_KINDS = {
  shared: { model: 'shared', tier: 'guarded' },
  schema: { model: 'schema', tier: 'guarded' },
  database: { model: 'database', tier: 'sealed' },
  database_guarded: { model: 'database', tier: 'guarded' },
} as const
export type ModelKind = keyof typeof MODEL_KINDS
export const MODELS = Object.keys(MODEL_KINDS) as readonly ModelKind[]

export type ModelTenants = TenantsOfKinds<ModelKind>

const DATABASE = 'bench_models'
const MASTER_KEY = 'nobody keeps anything worth stealing in a benchmark'

/** Tenants of each model, in the tier that they have where nothing is said; and guarded ones with databases. */
export function makeModelTenants(
  world: BenchWorld,
  counts: Readonly<Record<ModelKind, number>>,
): Promise<ModelTenants> {
  return makeTenantsOfKinds(world, counts, MODEL_KINDS)
}

/** @param counts how many of each kind; each has one table with as many rows as those of the other benchmarks. */
export async function makeTenantsOfKinds<Kind extends string>(
  world: BenchWorld,
  counts: Readonly<Record<Kind, number>>,
  kinds: Readonly<Record<Kind, TenantKind>>,
): Promise<TenantsOfKinds<Kind>> {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-models-'))
  // Rows are the seed's: those of a migration would say the same for all.
  const [createTable = ''] = tableSql('orders', '').split('insert into')
  writeFileSync(join(folder, '1_orders.sql'), createTable)
  const superuserUrl = Object.assign(new URL(world.superuserUrl), { pathname: `/${DATABASE}` }).href
  const { admin, app } = await prepareDatabase(world.superuserUrl, {
    database: DATABASE,
    known: { admin: new URL(world.adminUrl).password, app: new URL(world.appUrl).password },
  })
  const plane = createControlPlane({
    connection: withLogin(superuserUrl, { name: 'tenantry_admin', password: admin }),
    migrations: { tenant: folder },
    masterKey: MASTER_KEY,
    seed: async (db, { key }) =>
      void (await db.query(
        'insert into orders (id, customer, amount) select n, $1, n from generate_series(1, $2::int) n',
        [key, ROWS],
      )),
  })
  const names = Object.keys(kinds) as Kind[]
  const made = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Kind, ModelTenant[]>
  const remove = async (): Promise<void> => {
    for (const { key } of await plane.tenants.list({ limit: 1_000 })) {
      await plane.tenants.delete(key, { confirm: key })
    }
  }
  try {
    await remove()
    for (const name of names) {
      for (let n = 0; n < counts[name]; n++) {
        made[name].push(await plane.tenants.create({ key: `${name.replace('_', '-')}-${n}`, ...kinds[name] }))
      }
    }
    const db = createAdminDatabase(superuserUrl, 1)
    await db.query('vacuum analyze')
    await db.close()
  } catch (error) {
    await plane.close()
    throw error
  }
  return {
    appUrl: withLogin(superuserUrl, { name: 'tenantry_app', password: app }),
    superuserUrl,
    masterKey: MASTER_KEY,
    of: made,
    async close() {
      await remove()
      await plane.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
