/** What a test file asks for, checked before anything is started. */
import type { MigrationFolders, Seed } from '../core/config.ts'
import { TenantryError } from '../core/errors.ts'
import { checkTenantInput, type TenantInput } from '../lifecycle/tenant-input.ts'
import type { TenancyOptions } from '../tenancy-options.ts'
import type { TemplateInput } from './fingerprint.ts'

/** Options of `createTestDatabase`. */
export interface TestDatabaseOptions {
  /** The tenants that are there from the start: keys, or what `tenants.create` takes. */
  readonly tenants: readonly (string | TenantInput)[]
  /** `migrations/shared` and `migrations/tenant` by default, as for `createControlPlane`. */
  readonly migrations?: MigrationFolders | undefined
  /** First rows of each tenant: a function, or the path of a SQL file. */
  readonly seed?: Seed | string | undefined
  /** What else the rows depend on, such as a fixture that the seed imports: a change makes the template anew. */
  readonly version?: string | undefined
  /** A superuser's URL, or that of a login with CREATEDB and CREATEROLE. `TEST_DATABASE_URL`, else the embedded server. */
  readonly server?: string | undefined
  /** Options of the tenancy, such as `limits`; `connection` and the master key are the database's. */
  readonly tenancy?: Omit<TenancyOptions, 'connection' | 'direct' | 'pooler' | 'masterKey'> | undefined
}

/** @throws TNY002, TNY041, TNY105, TNY308 */
export function readOptions({ tenants, migrations, seed, version }: TestDatabaseOptions): TemplateInput {
  if (!Array.isArray(tenants)) throw invalid('`tenants` is no list')
  const inputs = tenants.map((tenant: string | TenantInput) =>
    typeof tenant === 'string' ? { key: tenant } : tenant,
  )
  for (const input of inputs) {
    checkTenantInput(input)
    if (input.model !== 'database') continue
    // A clone has one database; the databases of such tenants would be those of the template.
    const reason = `the tenant "${input.key}" would have a database of its own, which clones would share`
    const instead = 'Make it in the test: await db.controlPlane.tenants.create({ key, model: "database" }).'
    throw new TenantryError('TNY041', { params: { reason, instead } })
  }
  const keys = inputs.map(({ key }) => key)
  const twice = keys.find((key, at) => keys.indexOf(key) !== at)
  if (twice !== undefined) throw invalid(`the tenant "${twice}" is named twice`)
  return { tenants: inputs, migrations, seed, version }
}

function invalid(reason: string): TenantryError {
  return new TenantryError('TNY002', { params: { reason } })
}
