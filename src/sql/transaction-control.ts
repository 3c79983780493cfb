/** Finds statements that would end or split a transaction which somebody else holds. */
import { loadModule, parse } from 'libpg-query'
import { TenantryError } from '../core/errors.ts'

/** Only a text with one of these words needs the parser; most seeds hold none. */
const SUSPICIOUS = /\b(begin|start|commit|end|rollback|abort|prepare|savepoint|release)\b/i
const HARMLESS = new Set(['TRANS_STMT_SAVEPOINT', 'TRANS_STMT_RELEASE', 'TRANS_STMT_ROLLBACK_TO'])

/**
 * True where the text, of one or many statements, holds BEGIN, COMMIT, ROLLBACK or PREPARE TRANSACTION.
 * @throws TNY213 where such a text is not PostgreSQL's syntax.
 */
export async function hasTransactionControl(text: string): Promise<boolean> {
  if (!SUSPICIOUS.test(text)) return false
  await loadModule()
  try {
    const { stmts = [] } = (await parse(text)) as {
      stmts?: { stmt?: { TransactionStmt?: { kind?: string } } }[]
    }
    return stmts.some(({ stmt }) => {
      const control = stmt?.TransactionStmt
      return control !== undefined && !HARMLESS.has(control.kind ?? '')
    })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new TenantryError('TNY213', { params: { reason }, cause: error })
  }
}
