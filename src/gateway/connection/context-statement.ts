/** The statement that enters a tenant: its text, and its Bind and Execute as bytes, made once for each tenant. */
import type { Binding } from '../binding.ts'

/** What a flight writes to enter a tenant, and how many commands that is. */
export interface Entry {
  readonly bytes: Buffer
  readonly commands: number
}

/** How a connection sends the context: prepared once under a name, or (through most poolers) unnamed each time. */
export interface ContextStatement {
  readonly named: boolean
  /** True once the server has confirmed the name. */
  ready: boolean
  /** Of a connection that serves one tenant alone: a shorter way in, for that tenant as it was. */
  readonly resident?: { entryOf(binding: Binding): Entry | undefined } | undefined
}

/** The context's named statement; PostgreSQL plans it once a connection. */
export const CONTEXT_NAME = 'tenantry_context'
/**
 * No row comes back, which nobody would read: `concat` asks for each setting, in this order, and what it gives is never
 * empty. The rights to call set_config are asked for before the first of them changes the role (FINDINGS 1).
 */
export const CONTEXT_TEXT = `select where concat(set_config('role', $1, true), set_config('search_path', $2, true),
set_config('app.current_tenant', $3, true), set_config('tenantry.proof', $4, true),
set_config('statement_timeout', $5, true), set_config('idle_in_transaction_session_timeout', $6, true)) = ''`

const named = new WeakMap<Binding, Buffer>()

/** Bind and Execute for a tenant. Source: PostgreSQL manual, 54.7 Message Formats. */
export function entryOf(binding: Binding, statement: ContextStatement): Buffer {
  if (!statement.named) return bindAndExecute('', valuesOf(binding))
  let bytes = named.get(binding)
  if (bytes === undefined) named.set(binding, (bytes = bindAndExecute(CONTEXT_NAME, valuesOf(binding))))
  return bytes
}

function valuesOf(binding: Binding): string[] {
  return [
    binding.role,
    binding.searchPath,
    binding.tenantId,
    binding.proof,
    binding.statementTimeout,
    binding.idleInTransactionTimeout,
  ]
}

/** Bind and Execute of a statement whose result nobody reads: all values as text, the unnamed portal. */
export function bindAndExecute(statement: string, values: readonly string[]): Buffer {
  const texts = values.map((value) => Buffer.from(value))
  const length =
    4 + 1 + statement.length + 1 + 2 + 2 + texts.reduce((sum, text) => sum + 4 + text.length, 0) + 2
  const bytes = Buffer.alloc(1 + length + EXECUTE.length)
  let at = bytes.write('B', 0)
  at = bytes.writeInt32BE(length, at) + 1
  at += bytes.write(`${statement}\0`, at)
  at = bytes.writeInt16BE(0, at)
  at = bytes.writeInt16BE(texts.length, at)
  for (const text of texts) {
    at = bytes.writeInt32BE(text.length, at)
    at += text.copy(bytes, at)
  }
  at = bytes.writeInt16BE(0, at)
  EXECUTE.copy(bytes, at)
  return bytes
}

/** Of the unnamed portal, all rows. */
const EXECUTE = Buffer.from('E\0\0\0\x09\0\0\0\0\0', 'latin1')
