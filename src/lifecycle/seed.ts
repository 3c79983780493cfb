/** First rows of a new tenant: run as the tenant, in one transaction with the mark that they were written. */
import { readFile } from 'node:fs/promises'
import type { Seed } from '../core/config.ts'
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'
import { completeOnConflict } from '../sql/on-conflict.ts'
import { createParser } from '../sql/parser.ts'
import { quoteIdent } from '../sql/quote.ts'
import { hasTransactionControl } from '../sql/transaction-control.ts'

/** A seed that is a function, whatever it was given as: a SQL file is read now, before any SQL. */
export async function loadSeed(seed: Seed | string): Promise<Seed> {
  if (typeof seed === 'function') return seed
  let text: string
  try {
    text = await readFile(seed, 'utf8')
  } catch (error) {
    const reason = `the file ${seed} cannot be read`
    throw new TenantryError('TNY309', { params: { reason }, cause: error })
  }
  await checkStatement(text)
  return async (db) => void (await db.query(text))
}

/**
 * Runs the seed and `mark` as one commit.
 * @param tx a connection inside a transaction, of the admin login.
 * @param proof of the tenant's context, where there are tables that ask for it.
 * @throws TNY309 where the seed would end the transaction.
 */
export async function runSeed(
  tx: Queryable,
  tenant: Tenant,
  seed: Seed,
  mark: () => Promise<void>,
  proof = '',
): Promise<void> {
  const path = `${quoteIdent(tenant.home.schema)}, public, pg_temp`
  await tx.query(
    `select set_config('search_path', $1, true), set_config('app.current_tenant', $2, true),
       set_config('tenantry.proof', $3, true)`,
    [path, tenant.id, proof],
  )
  await tx.query(`set local role ${quoteIdent(tenant.home.role)}`)
  let open = true
  const asTenant: Queryable = {
    async query(text, values) {
      if (!open)
        throw new TenantryError('TNY309', { params: { reason: 'it still runs statements after its end' } })
      await checkStatement(text)
      return tx.query(tenant.home.model === 'shared' ? await completed(text) : text, values)
    },
  }
  try {
    await seed(asTenant, tenant)
  } finally {
    open = false
  }
  await tx.query('set local role none')
  await mark()
}

/** As the gateway sends it. Nobody else's text comes here, so that one parser for each is enough. */
async function completed(text: string): Promise<string> {
  if (!/conflict/i.test(text)) return text
  const parser = createParser()
  await parser.load()
  return completeOnConflict(text, parser)
}

async function checkStatement(text: string): Promise<void> {
  if (await hasTransactionControl(text)) {
    throw new TenantryError('TNY309', { params: { reason: 'it begins or ends a transaction' } })
  }
}
