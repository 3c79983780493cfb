/** What no statement may do on connections that tenants share, whoever sends it. */
import { TenantryError } from '../../core/errors.ts'
import type { Statement } from '../../sql/statement.ts'

/** Why a statement may not run. */
export interface Problem {
  readonly reason: string
  /** Whether a guard that only reports can let it through: nothing of it reaches the next tenant on the connection. */
  readonly carried: boolean
}

/** @throws TNY210 for LISTEN, which is no matter of rights. */
export function commonProblem({ count, node, kind, traits }: Statement): string | undefined {
  if (count > 1) return 'it holds several statements; send them one by one'
  if (traits.has('chain')) return 'AND CHAIN would leave a transaction open without a tenant'
  if (traits.has('hold')) return 'a cursor WITH HOLD would outlive its transaction'
  if (traits.has('temp')) return 'temporary tables would be seen by the next tenant'
  if (node === 'CopyStmt' && kind === 'other')
    return 'COPY with a file or a program reaches beyond the database'
  if (node === 'ListenStmt' || node === 'UnlistenStmt') {
    throw new TenantryError('TNY210', {
      params: {
        what: 'LISTEN',
        instead: 'Use a direct connection of your own; channels are seen by all tenants.',
      },
    })
  }
  return undefined
}
