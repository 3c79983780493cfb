/** A shared home with two tenants, without migrations: each test makes its objects in both schemas and derives. */
import pg from 'pg'
import type { AdminDatabase } from '../../../src/core/database.ts'
import type { SharedHome } from '../../../src/core/homes.ts'
import { createAdminDatabase } from '../../../src/gateway/admin-database.ts'
import { compareForms } from '../../../src/isolation/shared-form/compare-forms.ts'
import { type Derivation, deriveSharedForm } from '../../../src/isolation/shared-form/derive-shared-form.ts'
import type { FormProblem } from '../../../src/isolation/shared-form/find-problems.ts'
import { createSharedSchemas } from '../../../src/isolation/shared-form/shared-schemas.ts'
import { makeTenantRoles } from '../../../src/isolation/tenant-roles.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import type { ServerVersion } from '../../support/versions.ts'

export interface FormWorld {
  readonly db: TestDatabase
  readonly home: SharedHome
  readonly admin: AdminDatabase
  /** Runs statements as the owner in both schemas (or other ones in the shared schema), then derives. */
  change(pattern: string, shared?: string): Promise<Derivation>
  /** The same without deriving. */
  make(pattern: string, shared?: string): Promise<void>
  derive(): Promise<Derivation>
  compare(): Promise<FormProblem[]>
  /** As the owner in the shared schema, without a context. */
  asOwner<R extends pg.QueryResultRow>(text: string): Promise<R[]>
  /** One statement as a tenant without the guard, committed where it works. */
  as<R extends pg.QueryResultRow>(tenant: string, text: string, settings?: string): Promise<R[]>
  /** Both schemas empty again. */
  clear(): Promise<void>
  close(): Promise<void>
}

/** The tenants `a` and `b` are active. */
export async function createFormWorld(version?: ServerVersion): Promise<FormWorld> {
  const db = await createTestDatabase({ version })
  const admin = createAdminDatabase(db.adminUrl)
  const app = new pg.Pool({ connectionString: db.appUrl, max: 1 })
  const home = await admin.transaction(async (tx) => {
    const [roles] = await makeTenantRoles(tx, 1, 'tenantry_app')
    if (roles === undefined) throw new Error('no roles were made')
    return { schema: 'tenant_shared', pattern: 'tenant_shared_pattern', ...roles }
  })
  const createSchemas = (): Promise<void> => admin.transaction((tx) => createSharedSchemas(tx, home))
  await createSchemas()
  await db.sql(
    `insert into tenantry.tenants (id, status, name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
     select t, 'active', t, '', '{}', 'shared', 'guarded', $1, $2, $3, 1 from unnest('{a,b}'::text[]) t`,
    [home.schema, home.role, home.ownerRole],
  )
  const { rows: proofs } = await admin.query<{ id: string; proof: string }>(
    "select t as id, tenantry.proof_of(t) as proof from unnest('{a,b}'::text[]) t",
  )
  const proofOf = (tenant: string): string => proofs.find(({ id }) => id === tenant)?.proof ?? ''

  async function make(pattern: string, shared = pattern): Promise<void> {
    await admin.transaction(async (tx) => {
      await tx.query(`set local role ${home.ownerRole}; set local search_path = ${home.pattern}, public`)
      await tx.query(pattern)
      await tx.query(`set local search_path = ${home.schema}, public`)
      if (shared !== '') await tx.query(shared)
    })
  }
  const derive = (): Promise<Derivation> => admin.transaction((tx) => deriveSharedForm(tx, home))

  return {
    db,
    home,
    admin,
    make,
    derive,
    async change(pattern, shared) {
      await make(pattern, shared)
      return derive()
    },
    compare: () => admin.transaction((tx) => compareForms(tx, home)),
    asOwner: (text) =>
      admin.transaction(async (tx) => {
        await tx.query(`set local role ${home.ownerRole}; set local search_path = ${home.schema}`)
        return (await tx.query(text)).rows as never[]
      }),
    async as<R extends pg.QueryResultRow>(tenant: string, text: string, settings = '') {
      const client = await app.connect()
      try {
        await client.query(`begin; select set_config('role', '${home.role}', true),
          set_config('search_path', '${home.schema}, public, pg_temp', true),
          set_config('app.current_tenant', '${tenant}', true), set_config('tenantry.proof', '${proofOf(tenant)}', true);
          ${settings}`)
        const { rows } = await client.query<R>(text)
        await client.query('commit')
        return rows
      } catch (error) {
        await client.query('rollback')
        throw error
      } finally {
        client.release()
      }
    },
    async clear() {
      await db.sql(`drop schema ${home.schema}, ${home.pattern} cascade`)
      await createSchemas()
    },
    async close() {
      await app.end()
      await admin.close()
      await db.drop()
      const server = new pg.Client(new URL('/postgres', db.superuserUrl).href)
      await server.connect()
      await server.query(`drop role ${home.role}, ${home.ownerRole}`)
      await server.end()
    },
  }
}
