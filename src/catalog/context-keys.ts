/** Changes the key that the contexts of tenants are proven with, while all of them go on. */
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { CATALOG_CHANNEL } from './catalog-migrations.ts'

/**
 * Makes a new key and a new proof for every tenant, in one commit; the proofs before it hold until `retireContextKeys`, and
 * those of the key before that no longer. Every process is told to forget what it remembers, proofs included. The old key
 * is gone at once.
 * @param db the admin login. Some 5 s for 100,000 tenants, in which no tenant changes its status; statements go on.
 * @returns the number of the new key
 * @example
 * await rotateContextKey(db) // and an hour later:
 * await retireContextKeys(db, { olderThanMs: 3_600_000 })
 */
export async function rotateContextKey(db: AdminDatabase): Promise<number> {
  return db.transaction(async (tx) => {
    await lockKeys(tx)
    const { rows } = await tx.query<{ id: string }>(
      `insert into tenantry.context_keys (key)
       select sha256(string_agg(uuid_send(gen_random_uuid()), '')) from generate_series(1, 4) returning id::text as id`,
    )
    await tx.query(
      `update tenantry.contexts set former_proof = proof, proof = tenantry.make_proof(id);
       update tenantry.context_keys k set key = null
       where k.id <> (select max(id) from tenantry.context_keys) and k.key is not null;
       notify ${CATALOG_CHANNEL}`,
    )
    return Number(rows[0]?.id)
  })
}

/**
 * Ends the proofs before the last rotation, if that is long enough ago. Whoever still binds one is answered with the
 * SQLSTATE of a context that is out of date, and reads the proof again.
 * @returns how many tenants had one
 */
export async function retireContextKeys(
  db: AdminDatabase,
  { olderThanMs }: { readonly olderThanMs: number },
): Promise<number> {
  return db.transaction(async (tx) => {
    await lockKeys(tx)
    const { rowCount } = await tx.query(
      `update tenantry.contexts set former_proof = null
       where former_proof is not null and (select max(created_at) from tenantry.context_keys)
         <= clock_timestamp() - $1::float8 * interval '1 millisecond'`,
      [olderThanMs],
    )
    return rowCount ?? 0
  })
}

/**
 * Two at once would each take the other's key for the one before, and a tenant that is made meanwhile would keep a proof
 * of a key that is gone: its transaction is waited for (see `keep_context`).
 */
async function lockKeys(tx: Queryable): Promise<void> {
  await tx.query('lock table tenantry.context_keys in exclusive mode')
}
