/** Compares every tenant's schema with what its migrations make: fingerprints first, and facts where these differ. */
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { SharedHome, TenantHome, TenantHomes } from '../../core/homes.ts'
import { compareForms } from '../../isolation/shared-form/compare-forms.ts'
import { diffSchemas } from '../../schema/diff/diff-schemas.ts'
import type { Repair } from '../../schema/diff/difference.ts'
import { readFingerprints, readSchema } from '../../schema/read-schema.ts'
import { forSchema, insideSchema } from '../../schema/render-schema.ts'
import { quoteIdent } from '../../sql/quote.ts'
import { TENANT_SCHEMA } from '../baseline/scratch.ts'
import { targetOf } from '../fleet/fleet-members.ts'
import type { Migration, Repeatable } from '../files/migration.ts'
import { findMissing } from '../ledger/find-missing.ts'
import { readLedgers, SHARED_TENANTS, sharedTarget, type Target } from '../ledger/ledger.ts'
import type { DriftedTenant, DriftReport } from './drift-report.ts'
import { createReferences, type References } from './references.ts'

export interface DriftOptions {
  readonly db: AdminDatabase
  readonly homes: TenantHomes
  readonly migrations: readonly Migration[]
  readonly repeatables: readonly Repeatable[]
  readonly lockTimeoutMs: number
  /** Keys of tenants; all where absent, those that share tables among them. */
  readonly only?: readonly string[] | undefined
  /** Told after each page of tenants. */
  readonly onProgress?: ((compared: number) => void) | undefined
}

/**
 * A connection that read the catalogs of so many schemas is closed: its server process keeps what it read, some 150 kB
 * for each.
 */
const PAGE = 250
/** How many other databases are asked at a time. */
const AT_ONCE = 4
/** In what further tenants differ is not read. */
const MOST_DESCRIBED = 100

/**
 * Changes nothing.
 * @throws TNY302 for a key that no tenant has, TNY426 where the files cannot be replayed.
 */
export async function findDrift(options: DriftOptions): Promise<DriftReport> {
  const { db, homes, migrations, repeatables, lockTimeoutMs, only, onProgress } = options
  const wanted = only === undefined ? undefined : new Set(only)
  const isWanted = (key: string): boolean => wanted === undefined || wanted.delete(key)
  const drifted: DriftedTenant[] = []
  let compared = 0
  let references: References | undefined

  async function compare(within: AdminDatabase, page: readonly Compared[]): Promise<void> {
    const { role = '', ownerRole = '' } = page[0]?.roles ?? {}
    references ??= createReferences(db, { migrations, repeatables }, { role, ownerRole }, lockTimeoutMs)
    const found = await comparePage(within, page, {
      migrations,
      references,
      withRepair: only !== undefined,
      describe: () => drifted.length < MOST_DESCRIBED,
    })
    drifted.push(...found)
    compared += page.length
    onProgress?.(compared)
  }

  let here: Compared[] = []
  let elsewhere: TenantHome[] = []
  const askElsewhere = async (): Promise<void> => {
    const tenants = elsewhere
    elsewhere = []
    await Promise.all(
      tenants.map(async (tenant) => {
        try {
          await compare(db.inDatabase(tenant.home.database ?? ''), [toCompared(tenant)])
        } catch (error) {
          if (error instanceof TenantryError && error.code === 'TNY426') throw error
          compared++
          drifted.push({ key: tenant.key, applied: 0, error: notCompared(tenant.key, error) })
        }
      }),
    )
  }
  for await (const tenant of homes.list()) {
    if (tenant.home.model === 'shared' || !isWanted(tenant.key)) continue
    if (tenant.home.database === undefined) here.push(toCompared(tenant))
    else elsewhere.push(tenant)
    if (elsewhere.length >= AT_ONCE) await askElsewhere()
    if (here.length < PAGE) continue
    await compare(db, here)
    here = []
  }
  if (here.length > 0) await compare(db, here)
  await askElsewhere()
  const shared = await homes.findShared()
  if (shared !== undefined && isWanted(SHARED_TENANTS)) {
    const { role, ownerRole } = shared
    await compare(db, [{ target: sharedTarget(shared), roles: { role, ownerRole } }])
    drifted.push(...(await compareShared(db, shared)))
  }
  const [unknown] = wanted ?? []
  if (unknown !== undefined) throw new TenantryError('TNY302', { params: { tenant: unknown } })
  const keys = new Set(drifted.map(({ key }) => key))
  return {
    compared,
    same: compared - keys.size,
    drifted: drifted.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)),
  }
}

interface Compared {
  readonly target: Target
  readonly roles: { readonly role: string; readonly ownerRole: string }
}

function toCompared({ id, key, home }: TenantHome): Compared {
  const { role, ownerRole } = home
  return { target: targetOf(home, key, id), roles: { role, ownerRole } }
}

interface PageOptions {
  readonly migrations: readonly Migration[]
  readonly references: References
  readonly withRepair: boolean
  readonly describe: () => boolean
}

/** In some six round trips, where nobody differs. */
async function comparePage(
  within: AdminDatabase,
  page: readonly Compared[],
  { migrations, references, withRepair, describe }: PageOptions,
): Promise<DriftedTenant[]> {
  const targets = page.map(({ target }) => target)
  const { ledgers, fingerprints } = await within.session(async (session) => ({
    ledgers: await readLedgers(session, targets),
    fingerprints: await readAll(session, targets),
  }))
  const found: DriftedTenant[] = []
  for (const [at, target] of targets.entries()) {
    const { schema, label: key } = target
    const { applied = [], problem } = ledgers[at] ?? {}
    try {
      if (problem !== undefined) throw notCompared(key, problem)
      // Where what ran is not what the files hold, there is nothing to compare with.
      findMissing(migrations, applied, key)
      const reference = await references.after(applied.length)
      if (fingerprints[at] === reference.fingerprint) continue
      if (!describe()) {
        found.push({ key, applied: applied.length })
        continue
      }
      const is = await within.transaction((tx) => readSchema(tx, schema, TENANT_SCHEMA))
      const { differences, statements, unsupported } = diffSchemas(is, reference)
      const repair = { statements: forTenant(statements, target), unsupported }
      // Somebody may have mended it meanwhile.
      if (differences.length === 0) continue
      found.push({ key, applied: applied.length, differences, ...(withRepair ? { repair } : {}) })
    } catch (error) {
      if (error instanceof TenantryError && error.code === 'TNY426') throw error
      found.push({ key, applied: applied.length, error: notCompared(key, error) })
    }
  }
  return found
}

/** As they can be given to psql: in the schema, as its owner. */
function forTenant(statements: readonly Repair[], { schema, ownerRole }: Target): readonly Repair[] {
  if (statements.length === 0) return []
  const opening = [
    ...(ownerRole === undefined ? [] : [`set role ${quoteIdent(ownerRole)}`]),
    ...insideSchema(schema).replaceAll('set local', 'set').split('; '),
  ]
  return [
    ...opening.map((sql) => ({ sql })),
    ...statements.map(({ sql, ...rest }) => ({ ...rest, sql: forSchema(sql, schema) })),
  ]
}

async function readAll(session: Queryable, targets: readonly Target[]): Promise<(string | undefined)[]> {
  await session.query('begin read only')
  const schemas = targets.map(({ schema }) => schema)
  const fingerprints = await readFingerprints(session, schemas, TENANT_SCHEMA)
  await session.query('commit')
  return fingerprints
}

function notCompared(tenant: string, error: unknown): TenantryError {
  if (error instanceof TenantryError) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new TenantryError('TNY427', { params: { tenant, reason }, cause: error })
}

/** The shared tables themselves, against the pattern that they are derived from. */
async function compareShared(db: AdminDatabase, home: SharedHome): Promise<DriftedTenant[]> {
  const problems = await db.transaction((tx) => compareForms(tx, home))
  if (problems.length === 0) return []
  const reason = problems.map(({ object, reason: why }) => `${object}: ${why}`).join('; ')
  return [
    {
      key: SHARED_TENANTS,
      applied: 0,
      error: new TenantryError('TNY427', { params: { tenant: SHARED_TENANTS, reason } }),
    },
  ]
}
