/** Tenants of all three models in one installation, under the migrations of an application. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findSharedHome } from '../../src/catalog/tenant-store.ts'
import type { Queryable } from '../../src/core/database.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createControlPlane, createTenancy, type TenantModel } from '../../src/index.ts'
import { compareForms } from '../../src/isolation/shared-form/compare-forms.ts'
import { type Derivation, deriveSharedForm } from '../../src/isolation/shared-form/derive-shared-form.ts'
import { createTestDatabase } from '../support/database.ts'
import type { ServerVersion } from '../support/versions.ts'

const MODELS: readonly TenantModel[] = ['schema', 'shared', 'database']

/** What a statement came to, in words that are the same in every model. */
export type Outcome =
  | { readonly rows: readonly string[]; readonly rowCount: number | null }
  | { readonly code: string; readonly constraint: string | undefined; readonly message: string }

export interface RealWorld {
  /** Adds a migration and runs it everywhere. */
  migrate(sql: string): Promise<void>
  /** Makes a tenant in each model: `acme-schema` and so on. */
  add(name: string): Promise<void>
  /** Runs a statement for a tenant. */
  run(key: string, sql: string): Promise<Outcome>
  /** Runs statements for a tenant of each model, each by itself, and gives the outcomes by model. */
  runAll(
    name: string,
    statements: readonly string[],
  ): Promise<Readonly<Record<TenantModel, readonly Outcome[]>>>
  /** What cannot be for tenants that share tables: `undefined` where it can. */
  refusalOf(sql: string): Promise<unknown>
  /** Whether the shared tables are what the pattern says, and what is left to derive. */
  checkForm(): Promise<{ readonly differences: readonly unknown[]; readonly again: Derivation }>
  /** In the schema of a tenant of the model `schema`. */
  inSchema<T>(key: string, fn: (tx: Queryable) => Promise<T>): Promise<T>
  close(): Promise<void>
}

const MASTER_KEY = 'a master key for tests and long enough to be one'

export async function createRealWorld(version: ServerVersion): Promise<RealWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-real-'))
  const tenantFolder = join(folder, 'tenant')
  mkdirSync(tenantFolder)
  const database = await createTestDatabase({ version })
  const plane = createControlPlane({
    connection: database.adminUrl,
    migrations: { tenant: tenantFolder },
    masterKey: MASTER_KEY,
  })
  const tenancy = createTenancy({ connection: database.appUrl, masterKey: MASTER_KEY })
  const admin = createAdminDatabase(database.adminUrl)
  let count = 0

  async function migrate(sql: string): Promise<void> {
    writeFileSync(join(tenantFolder, `${++count}_step.sql`), `-- Up Migration\n${sql}`)
    const { failed } = await plane.migrate.up()
    for (const { error } of failed) throw error
  }

  async function run(key: string, sql: string): Promise<Outcome> {
    try {
      const { rows, rowCount } = await tenancy.poolFor(key).query<Record<string, unknown>>(sql)
      return { rows: rows.map((row) => JSON.stringify(row)).toSorted(), rowCount }
    } catch (error) {
      const { code, constraint, message } = error as Error & { code: string; constraint?: string }
      return { code, constraint, message }
    }
  }

  return {
    migrate,
    run,
    async add(name) {
      for (const model of MODELS) await plane.tenants.create({ key: `${name}-${model}`, model })
    },
    async runAll(name, statements) {
      const outcomes = await Promise.all(
        MODELS.map(async (model) => {
          const seen: Outcome[] = []
          for (const sql of statements) seen.push(await run(`${name}-${model}`, sql))
          return [model, seen] as const
        }),
      )
      return Object.fromEntries(outcomes) as Record<TenantModel, Outcome[]>
    },
    async refusalOf(sql) {
      await plane.tenants.create({ key: 'refused', model: 'shared' })
      const file = join(tenantFolder, `${count + 1}_refused.sql`)
      writeFileSync(file, `-- Up Migration\n${sql}`)
      try {
        const { failed } = await plane.migrate.up()
        return failed[0]?.error
      } finally {
        rmSync(file)
        await plane.tenants.delete('refused', { confirm: 'refused' })
      }
    },
    checkForm: () =>
      admin.transaction(async (tx) => {
        const home = await findSharedHome(tx)
        if (home === undefined) throw new Error('nobody shares tables')
        return { differences: await compareForms(tx, home), again: await deriveSharedForm(tx, home) }
      }),
    async inSchema(key, fn) {
      const { home } = await plane.tenants.get(key)
      return admin.transaction(async (tx) => {
        await tx.query(`set local role ${home.ownerRole}; set local search_path = ${home.schema}`)
        return fn(tx)
      })
    },
    async close() {
      await tenancy.close({ timeoutMs: 1_000 })
      await admin.close()
      for (const { key } of await plane.tenants.list()) await plane.tenants.delete(key, { confirm: key })
      await plane.close()
      await database.drop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
