/** The assertion that code never leaves a tenant: whatever ran for another one, or came back of another one, fails it. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'
import type { SeenStatement, Watcher } from './watched-link.ts'

/** Options of `expectOnly`. */
export interface ExpectOnlyOptions {
  /** Lets statements without a tenant pass: `tenancy.central`, such as a look-up of the session. */
  readonly allowCentral?: boolean
}

/** Where statements are seen, and refusals. */
export interface Sight {
  watch(watcher: Watcher): () => void
  onRefused(listener: (tenantId: string | undefined, error: TenantryError) => void): () => void
}

const MOST_TOLD = 5
const LONGEST_TEXT = 200

/**
 * Several at once in a process: what one does itself is not laid to another's account. The server's side of a request
 * has no such mark, so that these run one after the other.
 */
export class Expectations {
  readonly #scopes = new AsyncLocalStorage<symbol>()
  #turn: Promise<unknown> = Promise.resolve()

  /** Marks what `fn` does as its own, where nothing around it has. */
  scoped<T>(fn: () => T): T {
    return this.#scopes.getStore() === undefined ? this.#scopes.run(Symbol('scope'), fn) : fn()
  }

  /** @throws TNY042, TNY043, and what `fn` throws */
  async expectOnly<T>(
    expected: Tenant,
    others: readonly Tenant[],
    sight: Sight,
    fn: () => Promise<T>,
    options: ExpectOnlyOptions,
  ): Promise<T> {
    const inside = this.#scopes.getStore()
    if (inside !== undefined) return this.#expect(inside, expected, others, sight, fn, options)
    const scope = Symbol(expected.key)
    const turn = this.#turn.then(() =>
      this.#scopes.run(scope, () => this.#expect(scope, expected, others, sight, fn, options)),
    )
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #expect<T>(
    scope: symbol,
    expected: Tenant,
    others: readonly Tenant[],
    sight: Sight,
    fn: () => Promise<T>,
    { allowCentral = false }: ExpectOnlyOptions,
  ): Promise<T> {
    const foreign: string[] = []
    let ran = false
    const isOurs = (): boolean => [undefined, scope].includes(this.#scopes.getStore())
    const unwatch = sight.watch((seen) => {
      if (!isOurs()) return
      if (seen.tenantId === expected.id) ran = true
      const found = problemOf(seen, expected, others, allowCentral)
      if (found !== undefined) foreign.push(found)
    })
    const unhear = sight.onRefused((tenantId, error) => {
      if (isOurs()) foreign.push(`${nameOf(tenantId, others, expected)} was refused: ${error.message}`)
    })
    let outcome: { readonly result: T } | { readonly error: unknown }
    try {
      outcome = { result: await fn() }
    } catch (error) {
      outcome = { error }
    } finally {
      unwatch()
      unhear()
    }
    if (foreign.length > 0) throw leftTenant(expected, foreign, outcome)
    if ('error' in outcome) throw outcome.error
    if (!ran) throw new TenantryError('TNY043', { params: { tenant: expected.key } })
    return outcome.result
  }
}

function problemOf(
  { tenantId, text, rows }: SeenStatement,
  expected: Tenant,
  others: readonly Tenant[],
  allowCentral: boolean,
): string | undefined {
  const statement = text === '' ? 'a cursor, stream or COPY' : shortened(text)
  if (rows === undefined) {
    if (tenantId === expected.id || (tenantId === undefined && allowCentral)) return undefined
    return `${nameOf(tenantId, others, expected)} ran ${statement}`
  }
  // What ran for another one was told before it ran.
  if (tenantId !== expected.id) return undefined
  const owner = others.find(({ id }) => rows.some((row) => holds(row, id)))
  return owner === undefined ? undefined : `a row of ${owner.key} came back from ${statement}`
}

function holds(row: unknown, id: string): boolean {
  return typeof row === 'object' && row !== null && Object.values(row).includes(id)
}

function nameOf(tenantId: string | undefined, others: readonly Tenant[], expected: Tenant): string {
  if (tenantId === undefined) return 'central work'
  return [expected, ...others].find(({ id }) => id === tenantId)?.key ?? tenantId
}

function leftTenant(expected: Tenant, foreign: string[], outcome: object): TenantryError {
  const found = foreign.slice(0, MOST_TOLD).join('; ')
  const more = foreign.length > MOST_TOLD ? `; and ${foreign.length - MOST_TOLD} more` : ''
  const params = { tenant: expected.key, found: `${found}${more}` }
  return new TenantryError('TNY042', { params, ...('error' in outcome ? { cause: outcome.error } : {}) })
}

function shortened(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim()
  return line.length > LONGEST_TEXT ? `${line.slice(0, LONGEST_TEXT)}…` : line
}
