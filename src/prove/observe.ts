/** What an attacker gets to see, as text; and whether the other's secret is in it. */
import { TenantryError } from '../core/errors.ts'
import { sqlState } from '../sql/sql-state.ts'

/** What became of one statement. */
export type Answer =
  | { readonly ok: true; readonly texts: readonly string[] }
  | {
      readonly ok: false
      /** `guard`: it was never sent. */
      readonly by: 'guard' | 'database'
      readonly code: string
      readonly texts: readonly string[]
    }

/** Runs one statement and turns what comes of it, errors too, into an answer. */
export async function answerOf(
  run: (hear: (text: string) => void) => Promise<{ readonly rows?: unknown }>,
): Promise<Answer> {
  const texts: string[] = []
  try {
    const { rows } = await run((text) => void texts.push(text))
    return { ok: true, texts: [...(Array.isArray(rows) ? rows.map(textOf) : []), ...texts] }
  } catch (error) {
    const state = sqlState(error)
    const code = state ?? (error instanceof TenantryError ? error.code : 'unknown')
    // Whatever is no refusal is a fault of the proof, and must not pass for one.
    if (code === 'unknown') throw error
    return {
      ok: false,
      by: state === undefined ? 'guard' : 'database',
      code,
      texts: [...texts, ...wordsOf(error)],
    }
  }
}

/** A row as text, with bytes in every form that may show what they hold. */
function textOf(value: unknown): string {
  if (Buffer.isBuffer(value)) return `${value.toString('utf8')} ${value.toString('hex')}`
  if (Array.isArray(value)) return value.map(textOf).join(', ')
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? '' : value.toISOString()
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([name, part]) => `${name}=${textOf(part)}`)
      .join(' ')
  }
  return String(value)
}

function wordsOf(error: unknown): string[] {
  const words: string[] = []
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    words.push(at.message)
    for (const field of ['detail', 'hint', 'where', 'internalQuery']) {
      const value: unknown = Reflect.get(at, field)
      if (typeof value === 'string') words.push(value)
    }
  }
  return words
}

const SHOWN = 3
const SHOWN_AROUND = 60

/** The pieces of text that hold the secret, as it is or in hexadecimal, cut short; none: it was not seen. */
export function sightings(texts: readonly string[], secret: string): string[] {
  const forms = [secret, Buffer.from(secret).toString('hex')]
  const found: string[] = []
  for (const text of texts) {
    const lower = text.toLowerCase()
    const at = Math.max(...forms.map((form) => lower.indexOf(form)))
    if (at >= 0) found.push(text.slice(Math.max(0, at - SHOWN_AROUND), at + secret.length + SHOWN_AROUND))
    if (found.length === SHOWN) break
  }
  return found
}
