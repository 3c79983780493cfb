/** What `tenantry doctor` says of the admin connection: rights, catalog, unfinished work, tenants that are behind. */
import { CATALOG_VERSION } from '../catalog/catalog-migrations.ts'
import { readCatalogVersion } from '../catalog/catalog-version.ts'
import type { AdminDatabase } from '../core/database.ts'
import { countTenants } from '../migrate/fleet/migration-report.ts'
import { fail, failed, ok, warn, withConnection, type Check, type Findings } from './check.ts'
import type { Connection } from './connections.ts'
import type { Project } from './load-config.ts'
import { openControlPlane } from './shell.ts'

export async function checkAdmin(connection: Connection | undefined, project: Project): Promise<Findings> {
  if (connection === undefined) {
    return {
      checks: [
        warn(
          'admin connection',
          'not configured',
          'Set TENANTRY_ADMIN_URL where tenants and migrations are managed.',
        ),
      ],
    }
  }
  return withConnection('admin connection', connection, async (db, { login }) => {
    const missing = [
      ...(login.createRole || login.superuser ? [] : ['CREATEROLE']),
      ...(login.createInDatabase ? [] : ['CREATE on the database']),
    ]
    if (missing.length > 0) {
      const advice = 'Use the login that `tenantry init` makes (tenantry_admin).'
      return [fail('admin rights', `${login.name} lacks ${missing.join(' and ')}`, advice)]
    }
    const superuser = login.superuser
      ? [
          warn(
            'admin login',
            `${login.name} is a superuser`,
            'tenantry_admin needs no superuser; keep that for hardening.',
          ),
        ]
      : []
    const makes =
      login.createDatabase || login.superuser ? 'roles, schemas and databases' : 'roles and schemas'
    const rights = ok('admin rights', `${login.name}: may create ${makes}`)
    return [rights, ...superuser, ...(await checkCatalog(db, project))]
  })
}

async function checkCatalog(db: AdminDatabase, project: Project): Promise<Check[]> {
  const found = await readCatalogVersion(db)
  if (found > CATALOG_VERSION) {
    return [
      fail(
        'catalog',
        `version ${found}; this program knows ${CATALOG_VERSION}`,
        'Upgrade the package tenantry.',
      ),
    ]
  }
  if (found < CATALOG_VERSION) {
    return [
      fail(
        'catalog',
        found === 0 ? 'not installed' : `version ${found} of ${CATALOG_VERSION}`,
        'tenantry migrate up',
      ),
    ]
  }
  return [ok('catalog', `version ${found}`), ...(await checkTenants(project))]
}

async function checkTenants(project: Project): Promise<Check[]> {
  const plane = openControlPlane(project)
  try {
    const operations = await plane.operations.unfinished()
    const checks = operations.map(({ kind, tenantKey = '?', error }) => {
      const state = error === undefined ? 'at work or interrupted' : `failed: ${error}`
      const again =
        kind === 'create'
          ? `tenantry tenants create ${tenantKey}`
          : `tenantry tenants delete ${tenantKey} --confirm ${tenantKey}`
      return warn('unfinished operation', `${kind} of ${tenantKey}: ${state}`, `To complete it: ${again}`)
    })
    if (checks.length === 0) checks.push(ok('operations', 'none is unfinished'))
    checks.push(await checkMasterKeys(plane), await checkMigrations(plane))
    return checks
  } finally {
    await plane.close()
  }
}

/** Sealed tenants can be served by a process that has the master key of their secrets. */
async function checkMasterKeys({ secrets }: ReturnType<typeof openControlPlane>): Promise<Check> {
  try {
    const keys = await secrets.status()
    const sealed = keys.reduce((sum, { tenants }) => sum + tenants, 0)
    const missing = keys.filter(({ known }) => !known)
    if (missing.length > 0) {
      const what = missing.map(
        ({ id, tenants }) => `${id}, which ${tenants} of ${sealed} sealed tenants need`,
      )
      const advice = 'Set TENANTRY_MASTER_KEY, also to former keys: see docs/guides/sealed-tenants.md.'
      return fail('master key', `missing: ${what.join('; ')}`, advice)
    }
    if (sealed === 0)
      return ok('master key', `${keys.length === 0 ? 'none' : 'is here'}, and no tenant is sealed`)
    return ok(
      'master key',
      `that of ${sealed === 1 ? '1 sealed tenant' : `${sealed} sealed tenants`} is here`,
    )
  } catch (error) {
    return failed('master key', error)
  }
}

async function checkMigrations(plane: ReturnType<typeof openControlPlane>): Promise<Check> {
  try {
    const { shared, tenants } = await plane.migrate.status()
    const [behind, all] = [
      countTenants(tenants.filter(({ pending }) => pending.length > 0)),
      countTenants(tenants),
    ]
    if (shared.pending.length === 0 && behind === 0)
      return ok('migrations', all === 1 ? 'the one tenant is up to date' : `${all} tenants are up to date`)
    const what = `${shared.pending.length} shared migrations pending, ${behind} of ${all} tenants behind`
    return warn('migrations', what, 'tenantry migrate up')
  } catch (error) {
    return failed('migrations', error)
  }
}
