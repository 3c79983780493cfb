/** Makes a plan of what `up` would do; changes nothing. */
import type { Queryable } from '../../core/database.ts'
import type { TenantModel } from '../../core/tenant.ts'
import type { Migration, Repeatable } from '../files/migration.ts'
import { planWaves } from '../fleet/plan-waves.ts'
import type { Chain } from '../ledger/chain.ts'
import { findChanged } from '../ledger/find-changed.ts'
import { type LintedMigration, lintMigrations } from '../lint/lint-migrations.ts'
import { blockedBy, type TableLock } from '../lint/locks/lock-mode.ts'
import { refusedFindings } from '../lint/require-sound.ts'
import type { MigrationProject } from '../migration-project.ts'
import { type FleetPosition, type PlacedMember, readPosition } from './fleet-position.ts'
import type { MigrationPlan, PlannedMigration, TenantCounts, VersionGroup } from './migration-plan.ts'
import { readSizes, type TableSizes } from './table-sizes.ts'

export interface PlanOptions {
  /** Keys or ids of the only tenants; `shared tenants` for all that share tables. */
  readonly only?: readonly string[]
}

/** How many keys stand with a version. */
const KEYS = 5

/** See `FleetPlans.plan`. */
export async function planFleet(
  project: MigrationProject,
  { only }: PlanOptions = {},
): Promise<MigrationPlan> {
  const { db, homes } = project
  const sets = { shared: await project.readShared(), tenant: await project.readTenant() }
  const repeatables = await project.readRepeatables('tenant')
  const plan = planWaves(project.waves)
  return db.session(async (session) => {
    const position = await readPosition(db, session, homes, sets, { plan, only })
    const { members } = position
    const read = await lintMigrations({ ...sets, settings: project.lint, ...ranOf(position) })
    const again = await readAgain(session, members, repeatables)
    const behind = members.filter((member) => member.ran < sets.tenant.length || again.has(member))
    const sizes = await readSizes(db, session, { ...position, members: behind }, tablesOf(read))
    return {
      versions: versionsOf(members, sets.tenant),
      migrations: read.map((each) => planned(each, sets.tenant.indexOf(each.migration), members, sizes)),
      repeatable: repeatables.migrations
        .map((file) => ({
          name: file.name,
          tenants: sum(members.filter((member) => again.get(member)?.includes(file) === true)),
        }))
        .filter(({ tenants }) => tenants > 0),
      waves: plan.waves
        .map(({ name }, place) => ({ name, tenants: sum(behind.filter(({ wave }) => wave === place)) }))
        .filter(({ tenants }) => tenants > 0),
      problems: position.unplaced,
      refused: refusedFindings(read, project.lint),
    }
  })
}

/** The repeatable files that run again, of each member that has any. */
async function readAgain(
  session: Queryable,
  members: readonly PlacedMember[],
  chain: Chain<Repeatable>,
): Promise<ReadonlyMap<PlacedMember, readonly Repeatable[]>> {
  const again = new Map<PlacedMember, readonly Repeatable[]>()
  const groups = Map.groupBy(members, ({ ledger }) => ledger?.repeatable)
  for (const [head, group] of groups) {
    const changed = await findChanged(session, chain, head)
    if (changed.length > 0) for (const member of group) again.set(member, changed)
  }
  return again
}

/** What the lint wants to know of where everything ran. */
export function ranOf({ shared, members, sharing }: FleetPosition) {
  return { sharing, ran: { shared: [shared], tenant: [...new Set(members.map(({ ran }) => ran))] } }
}

function planned(
  { set, migration, statements, findings }: LintedMigration,
  place: number,
  members: readonly PlacedMember[],
  sizes: TableSizes,
): PlannedMigration {
  const { name, file, options, perTenant } = migration
  const whom = set === 'shared' ? [] : members.filter(({ ran }) => ran <= place)
  const locksOf = (held: readonly TableLock[]) =>
    held.map((lock) => ({
      ...lock,
      blocks: blockedBy(lock.mode),
      ...(lock.work === 'brief' ? {} : { largest: sizes.of(set, lock.table) }),
    }))
  return {
    set,
    name,
    file,
    transaction: options.transaction,
    batch: options.batch,
    perTenant: perTenant !== undefined,
    tenants: sum(whom),
    models: countModels(whom),
    statements: statements.map(({ text, line, column, held, inside }) => ({
      sql: text.trim(),
      line,
      column,
      inside: inside !== undefined,
      locks: locksOf(held),
    })),
    findings,
  }
}

function versionsOf(
  members: readonly PlacedMember[],
  migrations: readonly Migration[],
): readonly VersionGroup[] {
  const groups = Map.groupBy(
    members.filter(({ count }) => count > 0),
    ({ ran }) => ran,
  )
  return [...groups]
    .toSorted(([a], [b]) => a - b)
    .map(([ran, group]) => ({
      migration: migrations[ran - 1]?.name,
      tenants: sum(group),
      models: countModels(group),
      behind: migrations.length - ran,
      keys: group.slice(0, KEYS).map(({ key }) => key),
    }))
}

function countModels(members: readonly PlacedMember[]): TenantCounts {
  const counts: Partial<Record<TenantModel, number>> = {}
  for (const { model, count } of members) if (count > 0) counts[model] = (counts[model] ?? 0) + count
  return counts
}

function sum(members: readonly PlacedMember[]): number {
  return members.reduce((total, { count }) => total + count, 0)
}

/** Tables whose size decides how long a statement takes. */
function tablesOf(read: readonly LintedMigration[]): {
  readonly shared: string[]
  readonly tenant: string[]
} {
  const inSet = (set: 'shared' | 'tenant'): string[] => [
    ...new Set(
      read
        .filter((each) => each.set === set)
        .flatMap(({ statements }) => statements.flatMap(({ held }) => held))
        .filter(({ work }) => work !== 'brief')
        .map(({ table }) => table),
    ),
  ]
  return { shared: inSet('shared'), tenant: inSet('tenant') }
}
