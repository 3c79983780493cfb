/** Migrations as a chain of digests, like git's commits: one digest says what ran, in which order and in which text. */
import { createHash } from 'node:crypto'
import type { Migration } from '../files/migration.ts'

/** What a chain needs of a migration. */
type Link = Pick<Migration, 'name' | 'checksum'>

/** The files as they are now. */
export interface Chain<M extends Link = Migration> {
  readonly migrations: readonly M[]
  /** What a target points to behind each migration; as long as `migrations`. */
  readonly digests: readonly string[]
  /** What a target points to where everything ran; `undefined` where there is no file. */
  readonly head: string | undefined
  /**
   * How many ran where a target points to `digest`: 0 for `undefined`. `undefined` where the files are not what ran
   * there: one was edited, is gone, or came in between.
   */
  ran(digest: string | undefined): number | undefined
}

/**
 * Links migrations: each digest is that of the one before, the name and the text's checksum.
 * @example
 * const chain = chainOf(migrations)
 * chain.ran(chain.head) // migrations.length
 */
export function chainOf<M extends Link>(migrations: readonly M[]): Chain<M> {
  const digests: string[] = []
  for (const link of migrations) digests.push(digestOf(digests.at(-1), link))
  const places = new Map(digests.map((digest, index) => [digest, index + 1]))
  return {
    migrations,
    digests,
    head: digests.at(-1),
    ran: (digest) => (digest === undefined ? 0 : places.get(digest)),
  }
}

/** Names may hold anything but NUL, so that no two links are written the same. */
function digestOf(parent: string | undefined, { name, checksum }: Link): string {
  return createHash('sha256')
    .update(`${parent ?? ''}\0${name}\0${checksum}`)
    .digest('hex')
}
