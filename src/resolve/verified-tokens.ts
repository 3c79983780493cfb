/** Tokens that were verified a moment ago: the signature of one that comes with every request is checked once. */
import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { TokenClaims } from './credential.ts'

/** What was found out about a token; it holds until the token expires, or other keys come. */
export interface VerifiedToken<Ref> {
  readonly ref: Ref
  /** Frozen to the bottom: many requests share them. */
  readonly claims: TokenClaims
  /** Milliseconds since 1970. */
  readonly until: number
  /** Of the keys. */
  readonly version: number
}

const MAX_TOKENS = 10_000
/** Of the tokens themselves, in characters; what is kept of them takes a few times that. */
const MAX_TEXT = 8 * 1024 * 1024

/** A memory that invalid tokens never reach, so that nobody can fill it with them. It holds no token, only their hashes. */
export class VerifiedTokens<Ref> {
  readonly #tokens = new LRUCache<string, VerifiedToken<Ref>>({ max: MAX_TOKENS, maxSize: MAX_TEXT })

  find(token: string, version: number): VerifiedToken<Ref> | undefined {
    const found = this.#tokens.get(nameOf(token))
    return found !== undefined && found.version === version && Date.now() < found.until ? found : undefined
  }

  add(token: string, found: VerifiedToken<Ref>): void {
    this.#tokens.set(nameOf(token), found, { size: token.length })
  }
}

function nameOf(token: string): string {
  return hash('sha256', token, 'base64')
}
