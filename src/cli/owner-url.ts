/** The URL of a database's owner: asked for, used now, and stored nowhere. */
import { ask, canAsk } from './ask.ts'
import { misuse } from './failure.ts'

/** A URL that pg reads, and not a mistyped password or file. */
function isUrl(text: string): boolean {
  return /^postgres(ql)?:\/\//.test(text) && URL.canParse(text)
}

/** @throws TNY030 where it is no URL of PostgreSQL. */
export function checkOwnerUrl(url: string): string {
  if (!isUrl(url))
    throw misuse('the URL is no postgres:// URL', 'postgres://user:password@host:5432/database')
  return url
}

/**
 * Asks for it on the terminal; Enter takes DATABASE_URL where that is set.
 * @param without what Enter means where it is not.
 * @returns `undefined` where there is none.
 */
export async function askForOwnerUrl(without: string): Promise<string | undefined> {
  const preset = process.env['DATABASE_URL']
  const offered = preset !== undefined && isUrl(preset) ? preset : undefined
  const shown = offered === undefined ? without : `DATABASE_URL, ${withoutPassword(offered)}`
  const answer = await ask('URL of the database’s owner (used now, stored nowhere)', shown)
  return answer === shown ? offered : checkOwnerUrl(answer)
}

/** @throws TNY030 where it is not given, and nobody is there to ask. */
export async function requireOwnerUrl(given: string | undefined): Promise<string> {
  if (given !== undefined) return checkOwnerUrl(given)
  const url = canAsk() ? await askForOwnerUrl('none') : undefined
  if (url === undefined) throw misuse('it needs the URL of the database’s owner', 'Pass --url.')
  return url
}

function withoutPassword(url: string): string {
  const result = new URL(url)
  result.password = ''
  return result.href
}
