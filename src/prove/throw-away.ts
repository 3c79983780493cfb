/** The tenants of a proof: made, marked as its own, and removed, those of a proof that was killed too. */
import { randomBytes } from 'node:crypto'
import type { AdminDatabase, Queryable } from '../core/database.ts'
import type { Settings, Tenant, TenantModel, TenantTier } from '../core/tenant.ts'
import { quoteIdent } from '../sql/quote.ts'
import { CANARY_COMMENT, CANARY_SCHEMA } from './canaries.ts'
import type { Kind } from './report.ts'

/** What a proof uses of a control plane. */
export interface ProofControl {
  readonly tenants: {
    create(input: {
      readonly key: string
      readonly name: string
      readonly settings: Settings
      readonly model: TenantModel
      readonly tier: TenantTier
      readonly seed: false
    }): Promise<Tenant>
    list(page: { readonly after?: string; readonly limit?: number }): Promise<Tenant[]>
    delete(tenant: string, options: { readonly confirm: string }): Promise<void>
  }
}

const NAME = 'Tenantry proof (throw-away)'
/** In a tenant's settings: the run that it belongs to. Key, name and this together make it the proof's to remove. */
const MARK = 'tenantryProof'
const KEY = /^prove-([0-9a-f]{8})-\d+[ab]$/

/** A name for one run. */
export function newRun(): string {
  return randomBytes(4).toString('hex')
}

/** Keeps other proofs from taking this run's tenants for those of a killed one, as long as `fn` runs. */
export async function holdingRun<T>(admin: AdminDatabase, run: string, fn: () => Promise<T>): Promise<T> {
  return admin.session(async (session) => {
    await session.query(`select pg_advisory_lock(${LOCK})`, [run])
    try {
      return await fn()
    } finally {
      // The server would do it when it notices that the session is closed, which may be after the next proof asks.
      await session.query(`select pg_advisory_unlock(${LOCK})`, [run]).catch(() => undefined)
    }
  })
}

const LOCK = "hashtextextended('tenantry:proof:' || $1, 0)"

async function isLive(admin: AdminDatabase, run: string): Promise<boolean> {
  return admin.transaction(async (tx) => {
    const { rows } = await tx.query<{ taken: string }>(
      `select pg_try_advisory_xact_lock(${LOCK})::text as taken`,
      [run],
    )
    return rows[0]?.taken !== 'true'
  })
}

/** Makes one of the two tenants of a kind. */
export async function createThrowAway(
  control: ProofControl,
  run: string,
  kind: Kind,
  which: string,
): Promise<Tenant> {
  return control.tenants.create({
    key: `prove-${run}-${which}`,
    name: NAME,
    // oxlint-disable-next-line typescript/no-unnecessary-type-assertion -- applications may declare settings of their own
    settings: { [MARK]: run } as Settings,
    model: kind.model,
    tier: kind.tier,
    seed: false,
  })
}

const PAGE = 1_000

/** Tenants that proofs have made, in whatever state; those that only look like it are nobody's to remove. */
async function listThrowAways(control: ProofControl): Promise<{ tenant: Tenant; run: string }[]> {
  const found: { tenant: Tenant; run: string }[] = []
  for (let after = 'prove-'; ;) {
    const page = await control.tenants.list({ after, limit: PAGE })
    for (const tenant of page) {
      const run = KEY.exec(tenant.key)?.[1]
      const marked = (tenant.settings as Record<string, unknown> | null)?.[MARK]
      if (run !== undefined && run === marked && tenant.name === NAME) found.push({ tenant, run })
    }
    after = page.at(-1)?.key ?? ''
    if (page.length < PAGE || !after.startsWith('prove-')) return found
  }
}

/** What a removal did. */
export interface Removal {
  readonly removed: readonly string[]
  /** What is still there, and why. */
  readonly left: readonly string[]
}

/** Removes everything of one run. Goes on where a part of it fails. */
export async function removeRun(admin: AdminDatabase, control: ProofControl, run: string): Promise<Removal> {
  return remove(admin, control, (each) => Promise.resolve(each === run))
}

/** Removes what runs have left that were killed; those that are at work are left alone. */
export async function removeLeftovers(admin: AdminDatabase, control: ProofControl): Promise<Removal> {
  const known = new Map<string, Promise<boolean>>()
  return remove(admin, control, async (run) => {
    const live = known.get(run) ?? isLive(admin, run)
    known.set(run, live)
    return !(await live)
  })
}

async function remove(
  admin: AdminDatabase,
  control: ProofControl,
  isMeant: (run: string) => Promise<boolean>,
): Promise<Removal> {
  const removed: string[] = []
  const left: string[] = []
  const attempt = async (what: string, fn: () => Promise<unknown>): Promise<void> => {
    try {
      await fn()
      removed.push(what)
    } catch (error) {
      left.push(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  for (const { name, owner } of await listCanarySchemas(admin)) {
    if (!(await isMeant(name.slice(CANARY_SCHEMA.length)))) continue
    await attempt(`schema ${name}`, () => admin.transaction((tx) => dropCanarySchema(tx, name, owner)))
  }
  for (const { tenant, run } of await listThrowAways(control)) {
    if (!(await isMeant(run))) continue
    await attempt(tenant.key, () => control.tenants.delete(tenant.id, { confirm: tenant.key }))
  }
  return { removed, left }
}

async function listCanarySchemas(admin: Queryable): Promise<{ name: string; owner: string }[]> {
  const { rows } = await admin.query<{ name: string; owner: string }>(
    `select nspname::text as name, pg_get_userbyid(nspowner)::text as owner from pg_namespace
     where nspname ~ $1 and obj_description(oid, 'pg_namespace') = $2`,
    [`^${CANARY_SCHEMA}[0-9a-f]{8}$`, CANARY_COMMENT],
  )
  return rows
}

async function dropCanarySchema(tx: Queryable, name: string, owner: string): Promise<void> {
  await tx.query(`set local lock_timeout = '5s'; set local role ${quoteIdent(owner)};
    drop schema ${quoteIdent(name)} cascade`)
}
