/** `prove`: attacks the live installation with two throw-away tenants of each kind, and tells what held. */
import { readCount } from './count-tenants.ts'
import type { ConnectionSpec } from '../core/config.ts'
import type { AdminDatabase } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import type { TenantModel, TenantTier } from '../core/tenant.ts'
import { openBareConnection } from '../gateway/bare-connection.ts'
import { releaseOf } from '../isolation/known-holes.ts'
import { lintInstallation } from '../isolation/lint/lint-installation.ts'
import type { LintFinding } from '../isolation/lint/finding.ts'
import { createKeyring } from '../isolation/master-key.ts'
import { probeServer } from '../isolation/probe.ts'
import { serverWarnings } from '../isolation/server-warnings.ts'
import type { Arena } from './arena.ts'
import { CANARY_SCHEMA, plantCanaries } from './canaries.ts'
import { type KindParts, proveKind } from './prove-kind.ts'
import { type Kind, type ProofCase, type ProofReport, type ProofTier, toReport } from './report.ts'
import {
  createThrowAway,
  holdingRun,
  newRun,
  type ProofControl,
  removeLeftovers,
  removeRun,
} from './throw-away.ts'
import { asQueryable, type ProofTenancy } from './ways.ts'

/** The installation, as far as a proof uses it. */
export interface ProveParts {
  /** Makes and removes the throw-away tenants. */
  readonly control: ProofControl
  /** The admin login, directly: it plants canaries, watches them, and holds one connection for the whole proof. */
  readonly admin: AdminDatabase
  /** The runtime's connection, directly, for attacks without the guard: what these leave behind is nobody else's. */
  readonly connection: ConnectionSpec | undefined
  readonly masterKey?: string | readonly string[] | undefined
  /** Whether the tenancy's connections lead through a pooler, whose others would meet what an attack leaves behind. */
  readonly pooled?: boolean | undefined
  /** Opens a tenancy as the application does, with so many connections; the proof closes it. */
  openTenancy(options: { readonly max: number }): ProofTenancy
}

export interface ProveOptions {
  /** Only this model; all by default. */
  readonly model?: TenantModel | undefined
  /** Only this tier; both by default. */
  readonly tier?: TenantTier | undefined
  /** Names of columns that hold the tenant's id; `['tenant_id']` by default. */
  readonly tenantColumns?: readonly string[] | undefined
  /** Whether the user's SECURITY DEFINER functions are called, in read-only transactions; true by default. */
  readonly calls?: boolean | undefined
  /** Ends it early; what it has made is removed all the same. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((line: string) => void) | undefined
}

const MODELS: readonly TenantModel[] = ['shared', 'schema', 'database']
const TIERS: readonly TenantTier[] = ['guarded', 'sealed']

/** Without these there is no installation to prove. */
const FATAL = new Set(['TNY001', 'TNY002', 'TNY005', 'TNY006', 'TNY007', 'TNY008', 'TNY202'])

/**
 * Makes its tenants, attacks, lints the user's own objects, and removes its tenants, also where it fails or is ended.
 * @throws TNY002 where `connection` is not direct; what keeps the installation from working at all: TNY001, TNY005 to TNY008, TNY202; the signal's reason.
 * @example
 * const report = await prove({ control, admin, connection, openTenancy })
 * process.exitCode = report.ok ? 0 : 1
 */
export async function prove(parts: ProveParts, options: ProveOptions = {}): Promise<ProofReport> {
  const startedAt = new Date()
  const run = newRun()
  return holdingRun(parts.admin, run, async () => {
    await requireDirect(parts.connection)
    options.onProgress?.('removing what earlier proofs left')
    await removeLeftovers(parts.admin, parts.control)
    const gathered = await attackAll(parts, options, run).catch(async (error: unknown) => {
      await removeRun(parts.admin, parts.control, run)
      throw error
    })
    options.onProgress?.('removing the throw-away tenants')
    const { left } = await removeRun(parts.admin, parts.control, run)
    return toReport({ ...gathered, left }, startedAt)
  })
}

async function requireDirect(connection: ConnectionSpec | undefined): Promise<void> {
  const bare = await openBareConnection(connection, { timeoutMs: 10_000 })
  await bare.close()
  if (!bare.pooled) return
  const reason =
    'the connection for attacks without the guard leads through a pooler; name the pooler, and a direct address'
  throw new TenantryError('TNY002', { params: { reason } })
}

interface Findings {
  readonly server: string
  readonly cases: ProofCase[]
  readonly tiers: ProofTier[]
  readonly skipped: (Kind & { readonly reason: string })[]
  readonly warnings: string[]
  readonly lint: readonly LintFinding[]
}

async function attackAll(parts: ProveParts, options: ProveOptions, run: string): Promise<Findings> {
  const { admin } = parts
  const tenantColumns = options.tenantColumns ?? ['tenant_id']
  const { server, warnings } = await readServer(parts)
  const findings: Findings = { server, warnings, cases: [], tiers: [], skipped: [], lint: [] }
  const kindParts: KindParts = {
    ...parts,
    keyring: createKeyring(parts.masterKey),
    pooled: parts.pooled === true,
    sweeping: { tenantColumns, calls: options.calls !== false },
    signal: options.signal,
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  }
  for (const [index, kind] of kindsOf(options).entries()) {
    options.signal?.throwIfAborted()
    options.onProgress?.(`${kind.model}, ${kind.tier}: making two tenants`)
    const made = await makeArena(parts, run, kind, index)
    if ('reason' in made) {
      findings.skipped.push({ ...kind, reason: made.reason })
      continue
    }
    const { cases, tier, missed } = await proveKind(kindParts, made)
    findings.cases.push(...cases)
    findings.warnings.push(...missed.map((what) => `not looked into as ${kind.model}, ${kind.tier}: ${what}`))
    findings.tiers.push({ ...tier, tenants: await readCount(admin, kind, run) })
  }
  options.onProgress?.('looking at tables, functions and rights')
  return { ...findings, lint: await lint(admin, tenantColumns) }
}

function kindsOf({ model, tier }: ProveOptions): Kind[] {
  return MODELS.filter((each) => model === undefined || each === model).flatMap((each) =>
    TIERS.filter((one) => tier === undefined || one === tier).map((one) => ({ model: each, tier: one })),
  )
}

async function readServer({ openTenancy }: ProveParts): Promise<{ server: string; warnings: string[] }> {
  const tenancy = openTenancy({ max: 1 })
  try {
    const facts = await probeServer(asQueryable(tenancy.central))
    const warnings = serverWarnings(facts).map(({ message, advice }) => `${message}. ${advice}`)
    return { server: releaseOf(facts.version), warnings }
  } finally {
    await tenancy.close({ timeoutMs: 2_000 })
  }
}

/** What cannot be made here is told, and not proven: no master key, no right to make databases, an odd migration. */
async function makeArena(
  { admin, control }: ProveParts,
  run: string,
  kind: Kind,
  index: number,
): Promise<Arena | { readonly reason: string }> {
  try {
    const attacker = await createThrowAway(control, run, kind, `${index}a`)
    const victim = await createThrowAway(control, run, kind, `${index}b`)
    return await plantCanaries(admin, kind, run, { attacker, victim })
  } catch (error) {
    if (error instanceof TenantryError && FATAL.has(error.code)) throw error
    return { reason: reasonOf(error) }
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : ''
  return `${error.message}${cause}`
}

/** Without what the proof itself has made. */
async function lint(admin: AdminDatabase, tenantColumns: readonly string[]): Promise<LintFinding[]> {
  const findings = await lintInstallation(admin, { tenantColumns })
  return findings.filter(
    ({ object }) => !object.includes(CANARY_SCHEMA) && !object.includes('tenantry_canary'),
  )
}
