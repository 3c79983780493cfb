/** Proves one kind of tenant: every attack by every way, and what the database would refuse by itself. */
import type { ConnectionSpec } from '../core/config.ts'
import type { AdminDatabase } from '../core/database.ts'
import { readProof } from '../catalog/tenant-store.ts'
import type { TenantLogin } from '../gateway/binding.ts'
import { openBareConnection } from '../gateway/bare-connection.ts'
import type { Keyring } from '../isolation/master-key.ts'
import { enforcementOf, type OpenRights, readOpenRights } from '../isolation/open-rights.ts'
import { type Arena, statementOf } from './arena.ts'
import { attackAlone, attackInTransaction, type Outcome, type Watch } from './attack.ts'
import { databaseOf, fingerprint, restoreCanaries } from './canaries.ts'
import { compareCases } from './cases.ts'
import { isIrrevocable, leavesContext, leavesNothing, mayBeCommitted } from './harm.ts'
import { FAULT_ATTACKS } from './fault-cases.ts'
import { breachOf, type Field, LIVE_ATTACKS, type Missed } from './live-cases.ts'
import { answerOf } from './observe.ts'
import { type Payload, PAYLOADS } from './payloads.ts'
import type { ProofCase, ProofTier } from './report.ts'
import { openStage, type Stage } from './stage.ts'
import { sweep, type SweepOptions } from './sweep.ts'
import { createTally, type Tally } from './tally.ts'
import { plantInUserTables } from './user-tables.ts'
import { type ProofTenancy, throughGateway, throughHandle, throughLogin, type Way } from './ways.ts'

/** What the proof of a kind needs. */
export interface KindParts {
  readonly admin: AdminDatabase
  /** The runtime's. */
  readonly connection: ConnectionSpec | undefined
  readonly keyring: Keyring
  /** Others use the gateway's connections next. */
  readonly pooled: boolean
  openTenancy(options: { readonly max: number }): ProofTenancy
  readonly sweeping: SweepOptions
  readonly signal?: AbortSignal | undefined
  onProgress?(line: string): void
}

/** What came of it; how many tenants of the kind there are is not asked here. */
export interface KindProof {
  readonly cases: readonly ProofCase[]
  readonly tier: Omit<ProofTier, 'tenants'>
  /** What could not be looked into, and why. */
  readonly missed: readonly string[]
}

export async function proveKind(parts: KindParts, arena: Arena): Promise<KindProof> {
  const { admin, onProgress } = parts
  const stage = await openStage(parts, arena)
  try {
    const tally = createTally(arena.kind)
    const before = await fingerprint(admin, arena)
    const watch = createWatch(admin, arena, stage, before)
    const ways = [
      throughGateway(() => stage.tenancy.poolFor(arena.attacker)),
      ...(stage.tenancy.handles ?? []).map(({ name }, at) =>
        throughHandle(name, () => stage.tenancy.handles?.[at], arena.attacker),
      ),
    ]
    for (const way of ways) {
      await attackByCorpus(parts, arena, way, watch, (payload, statement, outcome) => {
        tally.add(payload.case, outcome, { attack: payload.id, way: way.name, statement })
      })
    }
    await restoreCanaries(admin, arena)
    const missed = await attackLive(parts, arena, stage, tally)
    await restoreCanaries(admin, arena)
    onProgress?.(`${nameOf(arena)}: looking into what the tenant may read`)
    const { tenancy } = stage
    const own = { admin: databaseOf(admin, arena.victim), pool: tenancy.poolFor(arena.victim) }
    await plantInUserTables(own.admin, own.pool, arena.victim, arena.victimSecret)
    const asked = databaseOf(admin, arena.attacker)
    for (const found of await sweep(asked, tenancy.poolFor(arena.attacker), arena, parts.sweeping)) {
      tally.note(found.case, found.breach)
      if (found.missed !== undefined) missed.push(found.missed)
    }
    const bare = await attackBare(parts, arena, watch, tally)
    const untouched = (await fingerprint(admin, arena)) === before
    return { ...judge(arena, tally.cases(), bare, untouched), missed }
  } finally {
    await stage.close()
  }
}

function nameOf({ kind }: Arena): string {
  return `${kind.model}, ${kind.tier}`
}

function createWatch(admin: AdminDatabase, arena: Arena, stage: Stage, before: string): Watch {
  return {
    async wasChanged() {
      if ((await fingerprint(admin, arena)) === before) return false
      await restoreCanaries(admin, arena)
      return true
    },
    leftBehind: () => stage.leftBehind(),
  }
}

type Tell = (payload: Payload, statement: string, outcome: Outcome) => void

/** Progress is told after so many. */
const STEP = 40

async function attackByCorpus(
  { admin, pooled, signal, onProgress }: KindParts,
  arena: Arena,
  way: Way,
  watch: Watch,
  tell: Tell,
): Promise<void> {
  const { rows } = await admin.query<{ most: string }>(
    "select current_setting('max_prepared_transactions') as most",
  )
  const preparing = rows[0]?.most !== '0'
  for (const [index, payload] of PAYLOADS.entries()) {
    signal?.throwIfAborted()
    if (index % STEP === 0) {
      onProgress?.(`${nameOf(arena)}: attack ${index} of ${PAYLOADS.length} by ${way.name}`)
    }
    const statement = statementOf(payload, arena)
    if (preparing && isIrrevocable(statement)) continue
    const { begin, alone } = way
    const isShy = pooled && alone !== undefined && !leavesNothing(statement)
    if (begin !== undefined) {
      const outcome = await attackInTransaction({ begin }, payload, arena, watch, { lasting: !isShy })
      tell(payload, statement, outcome)
      // The guard says the same again.
      if (outcome.verdict === 'refused' && outcome.by === 'guard') continue
    }
    if (alone !== undefined && !isShy && mayBeCommitted(statement)) {
      tell(payload, statement, await attackAlone({ alone }, payload, arena, watch))
    }
  }
}

async function attackLive(
  { admin, openTenancy, signal, onProgress }: KindParts,
  arena: Arena,
  stage: Stage,
  tally: Tally,
): Promise<string[]> {
  const missed: string[] = []
  for (const attack of [...LIVE_ATTACKS, ...FAULT_ATTACKS]) {
    signal?.throwIfAborted()
    onProgress?.(`${nameOf(arena)}: ${attack.name}`)
    const { tenancy } = stage
    const [attacker, victim] = [tenancy.poolFor(arena.attacker), tenancy.poolFor(arena.victim)]
    const field: Field = { arena, admin, tenancy, attacker, victim, openTenancy }
    const seen = await attack.run(field).catch((error: unknown): readonly string[] | Missed => {
      // What should have worked in peace did not: that is no proof of anything.
      return [`it failed: ${error instanceof Error ? error.message : String(error)}`]
    })
    if ('missed' in seen) {
      missed.push(`${attack.name} (${seen.missed})`)
      continue
    }
    tally.note(attack.case, seen.length === 0 ? undefined : breachOf(attack, seen))
    if (seen.length > 0) await stage.renew()
  }
  return missed
}

/** What the server alone did not refuse. */
interface Bare {
  readonly open: OpenRights
  /** Cases in which one statement, or what followed it, reached the victim. */
  readonly through: ReadonlySet<string>
  /** Of these: those in which it was not by saying SET ROLE, which a guarded tenant's login may by its nature. */
  readonly otherwise: ReadonlySet<string>
}

async function attackBare(parts: KindParts, arena: Arena, watch: Watch, tally: Tally): Promise<Bare> {
  const { admin, connection, keyring } = parts
  const { attacker, kind } = arena
  const login = loginOf(arena, keyring)
  const way = throughLogin(connection, {
    tenant: attacker,
    proof: await readProof(admin, attacker.id),
    login,
  })
  const through = new Set<string>()
  const otherwise = new Set<string>()
  try {
    await attackByCorpus(parts, arena, way, watch, (payload, statement, outcome) => {
      const told = { attack: payload.id, way: way.name, statement }
      // Only for sealed tenants the server promises to refuse everything.
      if (kind.tier === 'sealed') tally.add(payload.case, outcome, told)
      if (outcome.verdict === 'refused' || outcome.verdict === 'without effect') return
      through.add(payload.case)
      if (kind.tier === 'sealed' || !leavesContext(statement)) otherwise.add(payload.case)
    })
    if (login !== undefined) await enterOtherDatabase(parts, arena, login, tally)
  } finally {
    await way.close()
  }
  return { open: await readOpenRights(databaseOf(admin, attacker)), through, otherwise }
}

function loginOf({ attacker }: Arena, keyring: Keyring): TenantLogin | undefined {
  const { keyId, role } = attacker.home
  return keyId === undefined ? undefined : { user: role, password: keyring.secretOf(attacker.id, keyId) }
}

/** A sealed tenant's own login, at the door of the other's database. */
async function enterOtherDatabase(
  { connection }: KindParts,
  { victim, kind }: Arena,
  login: TenantLogin,
  tally: Tally,
): Promise<void> {
  const { database } = victim.home
  if (database === undefined || kind.model !== 'database') return
  const answer = await answerOf(async () => {
    await (await openBareConnection(connection, { database, login, timeoutMs: 5_000 })).close()
    return {}
  })
  const told = { attack: 'logs in to it', way: 'own login', statement: `connect to ${database}` }
  const seen = ['the server let it in']
  tally.note('S1', answer.ok ? { ...told, harm: 'state', seen } : undefined)
}

function judge(
  arena: Arena,
  cases: readonly ProofCase[],
  bare: Bare,
  untouched: boolean,
): Omit<KindProof, 'missed'> {
  const { kind } = arena
  const inGateway = cases.some(({ breaches }) => breaches.some(({ way }) => way !== 'own login'))
  const held = !inGateway && untouched
  const sealed = kind.tier === 'sealed' && bare.through.size === 0
  const closed = kind.tier === 'sealed' || enforcementOf(bare.open) === 'database'
  return {
    cases,
    tier: {
      ...kind,
      achieved: !held ? 'none' : sealed ? 'sealed' : 'guarded',
      enforcement: closed && bare.otherwise.size === 0 ? 'database' : 'guard',
      onlyGuard: [...bare.through].toSorted(compareCases),
      open: kind.tier === 'sealed' ? [] : describeOpen(bare.open),
      untouched,
    },
  }
}

function describeOpen(open: OpenRights): string[] {
  return [
    ...open.functions.map((signature) => `EXECUTE on ${signature}`),
    ...open.languages.map((name) => `USAGE on language ${name}`),
    ...(open.temporary ? ['TEMPORARY on the database'] : []),
    ...(open.createInDatabase ? ['CREATE on the database'] : []),
    ...(open.createInPublic ? ['CREATE on schema public'] : []),
  ]
}
