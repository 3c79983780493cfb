/** Gives sealed tenants' logins secrets of the newest master key, while they are served. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AdminDatabase, Queryable } from '../core/database.ts'
import type { Keyring } from '../isolation/master-key.ts'
import { changeSecret } from '../isolation/sealed-login.ts'
import { lockIdle } from './pinned-session.ts'

/** A master key that sealed tenants' secrets come from; its id tells nothing of it. */
export interface SecretKey {
  readonly id: string
  /** How many tenants have a secret of it. */
  readonly tenants: number
  /** Whether it is among the master keys of this process. */
  readonly known: boolean
  /** Whether it is the one that new secrets come from. */
  readonly newest: boolean
}

/** What `rotate` came to. */
export interface SecretRotation {
  /** The master key that all secrets come from now, but for those of the tenants that are left. */
  readonly key: string
  /** How many tenants have a new secret. */
  readonly rotated: number
  /** Keys of tenants that another process worked on all the while, or whose role is gone: repeat it for them. */
  readonly left: readonly string[]
}

/** Secrets of sealed tenants. They are derived and never stored, so that there is nothing to show. */
export interface SecretAdministration {
  /** The master keys in use, and the newest of this process, which stands first. */
  status(): Promise<SecretKey[]>
  /**
   * Gives every sealed tenant a secret of the newest master key, where it has another one. Open connections go on, and
   * processes that know both keys connect anew without an error. Ended early, it is completed by calling it again.
   * @throws TNY021 where there is no master key.
   */
  rotate(options?: {
    /** Told after each batch. */
    readonly onProgress?: (done: number, total: number) => void
  }): Promise<SecretRotation>
}

/** A change of a role makes every backend look at memberships anew (FINDINGS 12): so not one commit for each tenant. */
const BATCH = 50
/** How long tenants that another process works on are waited for. */
const PATIENCE_MS = 10_000
const LOOK_MS = 100

const SEALED = "t.tier = 'sealed' and t.status not in ('erased', 'archived')"

export function createSecretAdministration(db: AdminDatabase, keyring: Keyring): SecretAdministration {
  return {
    async status() {
      const newest = keyring.findNewest()
      const { rows } = await db.query<{ id: string; tenants: string }>(
        `select key_id as id, count(*)::text as tenants from tenantry.tenants t where ${SEALED} group by 1 order by key_id = $1 desc nulls last, 1`,
        [newest ?? ''],
      )
      const keys = rows.map(({ id, tenants }) => describe(keyring, id, Number(tenants)))
      if (newest === undefined || keys.some(({ id }) => id === newest)) return keys
      return [describe(keyring, newest, 0), ...keys]
    },

    async rotate({ onProgress } = {}) {
      const { newest } = keyring
      const total = (await findOutdated(db, newest)).length
      const until = performance.now() + PATIENCE_MS
      let rotated = 0
      for (;;) {
        const outdated = await findOutdated(db, newest)
        let progressed = 0
        for (let at = 0; at < outdated.length; at += BATCH) {
          const ids = outdated.slice(at, at + BATCH).map(({ id }) => id)
          progressed += await db.transaction((tx) => rotateBatch(tx, ids, keyring))
          onProgress?.(rotated + progressed, Math.max(total, rotated + progressed))
        }
        rotated += progressed
        if (progressed === outdated.length || performance.now() > until) {
          const left = progressed === outdated.length ? [] : await findOutdated(db, newest)
          return { key: newest, rotated, left: left.map(({ key }) => key) }
        }
        await sleep(LOOK_MS)
      }
    },
  }
}

function describe(keyring: Keyring, id: string, tenants: number): SecretKey {
  return { id, tenants, known: keyring.knows(id), newest: id === keyring.findNewest() }
}

async function findOutdated(db: Queryable, newest: string): Promise<{ id: string; key: string }[]> {
  const { rows } = await db.query<{ id: string; key: string }>(
    `select t.id, k.key from tenantry.tenants t join tenantry.keys k on k.tenant_id = t.id and not k.is_alias
     where ${SEALED} and t.key_id <> $1 order by t.id`,
    [newest],
  )
  return rows
}

/**
 * The new verifiers, and which master key they come from, in one commit: whoever is refused with the former secret finds
 * the new key in the catalog. Tenants that are being made or changed otherwise are left for later.
 */
async function rotateBatch(tx: Queryable, ids: readonly string[], keyring: Keyring): Promise<number> {
  const { newest } = keyring
  const { rows } = await tx.query<{ id: string; role: string }>(
    `select t.id, t.role_name as role from tenantry.tenants t join pg_roles r on r.rolname = t.role_name
     where t.id = any ($1) and ${SEALED} and t.key_id <> $2 order by t.id for update of t`,
    [await lockIdle(tx, ids), newest],
  )
  for (const { id, role } of rows) await changeSecret(tx, role, keyring.secretOf(id, newest))
  await tx.query('update tenantry.tenants set key_id = $2, updated_at = now() where id = any ($1)', [
    rows.map(({ id }) => id),
    newest,
  ])
  return rows.length
}
