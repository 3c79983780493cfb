/** Runs the steps of a migration in the pattern and in the shared tables, side by side, inside a transaction. */
import type { Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { compareForms } from '../../isolation/shared-form/compare-forms.ts'
import { deriveSharedForm, type FormProblem } from '../../isolation/shared-form/derive-shared-form.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'
import { sqlState } from '../../sql/sql-state.ts'
import { failure } from '../apply/migration-failure.ts'
import { offsetOfCharacter } from '../files/check-sql.ts'
import { completeRows } from './complete-rows.ts'
import { SHARED_TENANTS, sharedTarget } from '../ledger/ledger.ts'
import { lineInFile, type Script } from '../files/migration.ts'
import { keepSequences } from './shared-sequences.ts'
import { type ReplayStep, replayRefused } from './shared-replay.ts'

/** One migration on its way. */
interface Replay {
  readonly tx: Queryable
  readonly home: SharedHome
  readonly migration: Script
  readonly steps: readonly ReplayStep[]
}

/**
 * Each statement runs in the pattern as it was written, and then in the shared schema as the plan says. The shared form
 * is derived before statements on rows, before one that fails without it, and at the end; what differs then refuses the
 * migration.
 * @param tx a transaction of the admin login that holds `lockShared`.
 * @param listSharing the tenants whose rows statements on rows run for.
 * @throws TNY402, TNY407
 */
export async function replayOnShared(
  tx: Queryable,
  home: SharedHome,
  migration: Script,
  steps: readonly ReplayStep[],
  listSharing: () => Promise<readonly string[]>,
): Promise<void> {
  const replay: Replay = { tx, home, migration, steps }
  let tenants: readonly string[] | undefined
  let settled = true
  const settle = async (step: ReplayStep): Promise<void> => {
    if (!settled) await derive(replay, steps.slice(0, steps.indexOf(step)))
    settled = true
  }
  for (const step of steps) {
    if (step.kind === 'data') {
      tenants ??= await listSharing()
      if (tenants.length > 0) await settle(step)
      await runAt(replay, home.pattern, step, step.text)
      await runForTenants(replay, step, tenants)
      continue
    }
    if (settled || !step.needsForm) await runOnBoth(replay, step)
    else if (!(await triedOnBoth(replay, step))) {
      await settle(step)
      await runOnBoth(replay, step)
    }
    settled = false
  }
  await finish(replay)
}

/**
 * To derive the form before each statement that might name something derived would take longer than everything else.
 * @returns false where it failed for want of an object, and nothing happened.
 */
async function triedOnBoth(replay: Replay, step: ReplayStep): Promise<boolean> {
  const { tx } = replay
  await tx.query('savepoint tenantry_step')
  try {
    await runOnBoth(replay, step)
    await tx.query('release savepoint tenantry_step')
    return true
  } catch (error) {
    // Class 42: a name or a column that is not there, or not of the kind.
    if (sqlState(error)?.startsWith('42') !== true) throw error
    await tx.query('rollback to savepoint tenantry_step; release savepoint tenantry_step')
    return false
  }
}

async function runOnBoth(replay: Replay, step: ReplayStep): Promise<void> {
  const { tx, home } = replay
  await runAt(replay, home.pattern, step, step.text)
  if (step.kind === 'view') return makeView(replay, step)
  const { shared } = step
  if (shared === undefined) return
  // Once, without a tenant's context: what it checks or rewrites are the rows of all.
  const run = (): Promise<void> => runAt(replay, home.schema, step, shared)
  await (step.movesSequences ? keepSequences(tx, home, run) : run())
}

async function finish(replay: Replay): Promise<void> {
  const { tx, home, migration, steps } = replay
  try {
    // What is deferred to the commit would make the derivation fail first, and say less.
    await tx.query('set constraints all immediate')
  } catch (error) {
    throw failure(error, sharedTarget(home), migration.file)
  }
  await derive(replay, steps)
  const [difference] = await compareForms(tx, home)
  if (difference !== undefined) throw refused(replay, steps, difference)
}

/** @param ran what ran until now. */
async function derive(replay: Replay, ran: readonly ReplayStep[]): Promise<void> {
  const { tx, home, migration } = replay
  try {
    const { problems } = await deriveSharedForm(tx, home)
    if (problems[0] !== undefined) throw refused(replay, ran, problems[0])
  } catch (error) {
    throw failure(error, sharedTarget(home), migration.file, ran.at(-1)?.line)
  }
}

function refused({ migration }: Replay, ran: readonly ReplayStep[], problem: FormProblem): Error {
  const { object, reason, wayOut } = problem
  const line = lineNaming(ran, object)
  return replayRefused(migration.file, line, { reason: `${object}: ${reason}`, wayOut })
}

/**
 * The line of the last statement that names an object; what a statement made without naming it has no line.
 * @param object its kind and name: `constraint orders.no_overlap`, `function total(integer, text)`
 */
function lineNaming(steps: readonly ReplayStep[], object: string): number | undefined {
  const name = object.replace(/\(.*$/, '').split(' ').at(-1) ?? ''
  for (const part of name.split('.').toReversed()) {
    const word = part.replaceAll('"', '').toLowerCase()
    const step = steps.findLast(({ text }) =>
      text
        .toLowerCase()
        .split(/[^\p{L}\p{N}_$]+/u)
        .includes(word),
    )
    if (step !== undefined) return step.line
  }
  return undefined
}

/** The view as the catalog tells it: `*` is spelt out there, and stays without `tenant_id`. */
async function makeView(replay: Replay, step: ReplayStep): Promise<void> {
  const { tx, home } = replay
  const view = quoteIdent(step.view ?? '')
  await tx.query(entry(home, home.pattern))
  const { rows } = await tx.query<{ view: string }>(
    `select json_build_object('query', pg_get_viewdef(c.oid), 'options', coalesce(to_jsonb(c.reloptions), '[]'))::text as view
     from pg_class c where c.oid = $1::regclass`,
    [view],
  )
  const { query, options } = JSON.parse(rows[0]?.view ?? '{}') as { query: string; options: string[] }
  const kept = options.filter((option) => !option.startsWith('security_invoker='))
  const text = `create or replace view ${view} with (${[...kept, 'security_invoker=true'].join(', ')}) as ${query}`
  await runAt(replay, home.schema, step, text)
}

async function runForTenants(replay: Replay, step: ReplayStep, tenants: readonly string[]): Promise<void> {
  if (tenants.length === 0) return
  const { tx, home } = replay
  await tx.query(entry(home, home.pattern))
  const text = await completeRows(tx, step)
  const runAll = async (): Promise<void> => {
    for (const tenant of tenants) await runAt(replay, home.schema, step, text, tenant)
    await tx.query(
      "select set_config('app.current_tenant', '', true), set_config('tenantry.proof', '', true)",
    )
  }
  await (step.movesSequences ? keepSequences(tx, home, runAll) : runAll())
}

const REWRITE = 'Write the statement in another way'

/** As the admin, since neither owner nor tenants may ask for a proof. */
function context(tenant: string): string {
  const id = quoteLiteral(tenant)
  return `set local role none; set local row_security = on; select set_config('app.current_tenant', ${id}, true),
    set_config('tenantry.proof', tenantry.proof_of(${id}), true);\n`
}

function entry({ ownerRole }: SharedHome, schema: string): string {
  return `set local role ${quoteIdent(ownerRole)}; set local search_path = ${quoteIdent(schema)};\n`
}

async function runAt(
  { tx, home, migration }: Replay,
  schema: string,
  step: ReplayStep,
  text: string,
  tenant?: string,
): Promise<void> {
  const before = `${tenant === undefined ? '' : context(tenant)}${entry(home, schema)}`
  try {
    await tx.query(`${before}${text}\n; set local role none`)
  } catch (error) {
    const line = lineOf(error, before, migration, step, text)
    // The pattern took it, and shared tables do not: it leans on what is different there, a primary key's columns say.
    if (schema === home.schema && tenant === undefined && sqlState(error)?.startsWith('42') === true) {
      const said = error instanceof Error ? error.message : String(error)
      throw replayRefused(
        migration.file,
        line,
        { reason: `in shared tables ${said}`, wayOut: REWRITE },
        error,
      )
    }
    const label = tenant === undefined ? SHARED_TENANTS : `${SHARED_TENANTS} (at ${tenant})`
    throw failure(error, { ...sharedTarget(home), label }, migration.file, line)
  }
}

/** A text that was cut keeps its places; of one that was completed only the statement's first line is known. */
function lineOf(
  error: unknown,
  before: string,
  migration: Script,
  step: ReplayStep,
  text: string,
): number | undefined {
  const position = Number(Reflect.get(error as object, 'position'))
  if (!Number.isInteger(position) || text.length !== step.text.length) return step.line
  const at = offsetOfCharacter(before + text, position - 1) - before.length
  return at < 0 || at > text.length ? step.line : lineInFile(migration, step.at + at)
}
