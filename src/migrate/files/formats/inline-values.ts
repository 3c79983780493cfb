/** Writes the values of a statement into its text: a migration is one text, without parameters. */
import { quoteLiteral } from '../../../sql/quote.ts'
import { scanTokens } from '../../shared-form/sql-nodes.ts'

/**
 * `insert into t values ($1)` with its values in place. A quoted constant has no type yet, as a parameter has none.
 * Call `loadParser()` of sql/statement.ts first.
 * @throws TypeError for a value that has no one form as a constant.
 */
export function inlineValues(text: string, values: readonly unknown[]): string {
  if (values.length === 0) return text
  let result = ''
  let taken = 0
  for (const token of scanTokens(text)) {
    const number = /^\$(\d+)$/.exec(token.text)?.[1]
    if (number === undefined) continue
    result += text.slice(taken, token.start) + constantOf(values[Number(number) - 1])
    taken = token.end
  }
  return result + text.slice(taken)
}

function constantOf(value: unknown): string {
  if (value === null || value === undefined) return 'NULL'
  if (value instanceof Date) return quoteLiteral(value.toISOString())
  if (Buffer.isBuffer(value)) return quoteLiteral(`\\x${value.toString('hex')}`)
  if (typeof value === 'string') return quoteLiteral(value)
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') {
    return quoteLiteral(String(value))
  }
  // What node-postgres makes of an object; a list would become an array there, or JSON by the column's type.
  if (typeof value === 'object' && !Array.isArray(value)) return quoteLiteral(JSON.stringify(value))
  throw new TypeError('it passes a list or a function as a value; write it into the text')
}
