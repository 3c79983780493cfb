/** Reads every ledger and mends the heads: of tenants that were there before there were heads, and where another tool ran. */
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import type { Chain } from './chain.ts'
import { mirrorHead, readSteps, recordHistory } from './heads.ts'
import { readLedgers, type Ledger, type Target } from './ledger.ts'

/** A target, and where it is. */
export interface Located {
  readonly key: string
  readonly target: Target
  /** Of a tenant in another database. */
  readonly database?: string | undefined
}

/** What is not as the files, or the head, say. */
export interface HeadFinding {
  readonly key: string
  /**
   * `mended`: the head is now what the ledger says. `edited`: a former text of `name` ran. `order`: what ran is not the
   * beginning of the files; `name` is the first that differs. `unreadable`: the ledger cannot be read.
   */
  readonly kind: 'mended' | 'edited' | 'order' | 'unreadable'
  readonly name?: string | undefined
  readonly problem?: unknown
}

/**
 * Heads follow from ledgers, as node-pg-migrate leaves them: what it ran is trusted by name, in the text of the files as
 * they are now. A head that says of these very names that another text ran stays, and is told.
 * @param session one connection to the catalog's database, outside of a transaction.
 * @returns what was found; nothing where all is well.
 */
export async function verifyHeads(
  db: AdminDatabase,
  session: Queryable,
  members: readonly Located[],
  chain: Chain,
): Promise<HeadFinding[]> {
  await recordHistory(session, chain)
  const here = members.filter(({ database }) => database === undefined)
  const findings = await verifyDatabase(session, here, chain)
  for (const member of members) {
    const { key, target, database } = member
    if (database === undefined) continue
    try {
      const found = await db.inDatabase(database).session(async (there) => {
        await recordHistory(there, chain)
        const its = await verifyDatabase(there, [member], chain)
        await mirrorHead(there, session, { schema: target.schema, database })
        return its
      })
      findings.push(...found)
    } catch (problem) {
      findings.push({ key, kind: 'unreadable', problem })
    }
  }
  return findings
}

async function verifyDatabase(
  session: Queryable,
  members: readonly Located[],
  chain: Chain,
): Promise<HeadFinding[]> {
  const ledgers = await readLedgers(
    session,
    members.map(({ target }) => target),
  )
  const findings: HeadFinding[] = []
  const heads: { schema: string; count: number }[] = []
  for (const [index, { key, target }] of members.entries()) {
    const ledger = ledgers[index]
    if (ledger === undefined) continue
    const finding = await verifyOne(session, key, ledger, chain)
    if (finding?.kind === 'mended') heads.push({ schema: target.schema, count: ledger.applied.length })
    if (finding !== undefined) findings.push(finding)
  }
  await setHeads(session, heads, chain)
  return findings
}

async function verifyOne(
  session: Queryable,
  key: string,
  { applied, digest, problem }: Ledger,
  { migrations, digests, ran }: Chain,
): Promise<HeadFinding | undefined> {
  if (problem !== undefined) return { key, kind: 'unreadable', problem }
  const name = applied.find((one, index) => migrations[index]?.name !== one)
  if (name !== undefined) return { key, kind: 'order', name }
  if (digest === digests[applied.length - 1]) return undefined
  if (digest !== undefined && ran(digest) === undefined) {
    const steps = await readSteps(session, digest)
    const edited = steps.find(
      (step, index) => migrations[index]?.name === step.name && migrations[index].checksum !== step.checksum,
    )
    if (edited !== undefined) return { key, kind: 'edited', name: edited.name }
  }
  return { key, kind: 'mended' }
}

/** Of many schemas at once, as the ledgers say. The history must know the chain. */
async function setHeads(
  session: Queryable,
  heads: readonly { readonly schema: string; readonly count: number }[],
  { digests, migrations }: Chain,
): Promise<void> {
  if (heads.length === 0) return
  await session.query(
    `insert into tenantry.migration_heads (schema_name, digest, version)
     select * from unnest($1::text[], $2::text[], $3::bigint[])
     on conflict (schema_name, database_name) do update
       set digest = excluded.digest, version = excluded.version, updated_at = now()`,
    [
      heads.map(({ schema }) => schema),
      heads.map(({ count }) => digests[count - 1] ?? null),
      heads.map(({ count }) => migrations[count - 1]?.version ?? null),
    ],
  )
}
