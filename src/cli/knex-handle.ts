/** Knex as a way of attack, where the project has it: it is an optional peer. */
import type { knexForTenants } from '../orm/knex.ts'
import type { ProofHandle } from '../prove/ways.ts'

/** The adapter, or `undefined` where Knex is not installed. */
export async function findKnex(): Promise<typeof knexForTenants | undefined> {
  try {
    return (await import('../orm/knex.ts')).knexForTenants
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  }
}

/** Statements as `knex.raw` sends them. */
export function knexHandle(dbForTenant: ReturnType<typeof knexForTenants>): ProofHandle {
  return {
    name: 'knex',
    // A question mark would be a binding.
    send: (tenant, text) => dbForTenant(tenant).raw<{ rows?: unknown }>(text.replaceAll('?', String.raw`\?`)),
  }
}
