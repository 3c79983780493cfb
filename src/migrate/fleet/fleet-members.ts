/** Who is in the fleet, and what ran for each: tenants here, tenants elsewhere, tenants that share tables. */
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import type { SharedHome, TenantHomes } from '../../core/homes.ts'
import type { Home, TenantStatus } from '../../core/tenant.ts'
import {
  NOTHING_RAN,
  readLedger,
  readLedgers,
  SHARED_TENANTS,
  sharedTarget,
  type Ledger,
  type Target,
} from '../ledger/ledger.ts'
import type { WavePlan } from './plan-waves.ts'

/** A tenant whose tables are its own, or all those that share tables. */
export interface FleetMember {
  readonly id: string
  readonly key: string
  readonly status: TenantStatus
  readonly target: Target
  /** Of a tenant in another database; its ledger is not read with the others. */
  readonly database?: string | undefined
  readonly ledger?: Ledger | undefined
  /** How many tenants this stands for, where they share tables. */
  readonly members?: number | undefined
  /** The place of its wave. */
  readonly wave?: number | undefined
}

/** Who is to be migrated. */
export interface Fleet {
  /** Every tenant whose tables are its own. */
  readonly members: readonly FleetMember[]
  /** How many others share tables. */
  readonly sharing: number
  /** How many more there are, of whom it is known that nothing is missing. */
  readonly atHead?: number
}

/** The whole fleet by one query, where heads are kept and every tenant is at these: of migrations, and of repeatable files. */
export async function readAtHead(
  session: Queryable,
  homes: TenantHomes,
  head: string | undefined,
  repeatable: string | undefined,
): Promise<Fleet | undefined> {
  if (homes.countBehind === undefined || head === undefined) return undefined
  const { tenants, behind, sharing } = await homes.countBehind(session, head, repeatable)
  return behind === 0 ? { members: [], sharing, atHead: tenants } : undefined
}

/** Lists tenants, and reads the ledgers of those in this database. */
export async function readFleet(session: Queryable, homes: TenantHomes, plan?: WavePlan): Promise<Fleet> {
  const [here, there]: [FleetMember[], FleetMember[]] = [[], []]
  let sharing = 0
  for await (const tenant of homes.list()) {
    const { id, key, status, home } = tenant
    if (home.model === 'shared') sharing++
    else {
      const wave = plan?.waveOf({ ...tenant, model: home.model })
      const { database } = home
      const list = database === undefined ? here : there
      list.push({ id, key, status, target: targetOf(home, key, id), database, wave })
    }
  }
  const ledgers = await readLedgers(
    session,
    here.map(({ target }) => target),
  )
  // Most have the same: one list in memory stands for all of them.
  const lists = new Map<string, readonly string[]>()
  const members = here.map((member, index) => {
    const ledger = ledgers[index] ?? NOTHING_RAN
    const text = ledger.applied.join('\0')
    const applied = lists.get(text) ?? ledger.applied
    lists.set(text, applied)
    return { ...member, ledger: { ...ledger, applied } }
  })
  return { members: [...members, ...there], sharing }
}

/** All tenants that share tables, as one member. */
export async function readSharing(
  session: Queryable,
  home: SharedHome,
  members: number,
  plan?: WavePlan,
): Promise<FleetMember> {
  const target = sharedTarget(home)
  const ledger = await readLedger(session, target)
  const wave = plan?.waveOf({ id: '', key: SHARED_TENANTS, model: 'shared', together: true })
  return { id: '', key: SHARED_TENANTS, status: 'active', target, ledger, members, wave }
}

/** How many other databases are asked at a time. */
const AT_ONCE = 4

/** The ledgers of tenants in databases of their own. */
export async function readThere(
  db: AdminDatabase,
  members: readonly FleetMember[],
): Promise<Map<FleetMember, Ledger>> {
  const found = new Map<FleetMember, Ledger>()
  const waiting = [...members]
  const readNext = async (): Promise<void> => {
    for (let member = waiting.shift(); member !== undefined; member = waiting.shift()) {
      const { target, database = '' } = member
      const ledger = await db
        .inDatabase(database)
        .session((session) => readLedger(session, target))
        .catch((problem: unknown) => ({ ...NOTHING_RAN, problem }))
      found.set(member, ledger)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, readNext))
  return found
}

/** Where the tenant's own tables are. */
export function targetOf(home: Home, label: string, tenantId?: string): Target {
  return { schema: home.schema, ownerRole: home.ownerRole, tenantRole: home.role, tenantId, label }
}
