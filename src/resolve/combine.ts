/** Resolvers made of resolvers: the first that names a tenant, or all of them in agreement. */
import type { TenantRef } from '../core/runtime.ts'
import type { ResolvableRequest } from './resolvable-request.ts'
import type { Resolution, Resolver } from './resolver.ts'
import { distinctRefs } from './resolver.ts'

type Silence = Extract<Resolution, string>

/** Of several resolvers that name no tenant, the one that knows most about the address speaks for all. */
const WEIGHT: Readonly<Record<Silence, number>> = { none: 0, foreign: 1, central: 2 }

/**
 * Asks one resolver after the other until one names a tenant; later ones are not asked. An invalid name stops the
 * search: it is refused, never passed over. Where one says `'central'`, a later one may still name a tenant by what the
 * request carries, but not by the address: the service's own is nobody's domain.
 *
 * @example
 * firstOf(header('x-tenant'), subdomain({ root: 'example.com' }))
 */
export function firstOf<R>(...resolvers: readonly Resolver<R>[]): Resolver<R> {
  function ask(
    request: ResolvableRequest<R>,
    from: number,
    soFar: Silence,
  ): Resolution | Promise<Resolution> {
    let silence = soFar
    for (let index = from; index < resolvers.length; index += 1) {
      const answer = (resolvers[index] as Resolver<R>)(request)
      if (answer instanceof Promise) {
        return answer.then((late) => {
          const heard = besides(silence, late)
          return typeof heard === 'string' ? ask(request, index + 1, louder(silence, heard)) : heard
        })
      }
      const heard = besides(silence, answer)
      if (typeof heard !== 'string') return heard
      silence = louder(silence, heard)
    }
    return silence
  }
  return withRewrites((request) => ask(request, 0, 'none'), resolvers)
}

function besides(silence: Silence, answer: Resolution): Resolution {
  if (silence !== 'central' || typeof answer === 'string') return answer
  return [answer].flat().some((ref) => 'domain' in ref) ? 'none' : answer
}

function louder(one: Silence, other: Silence): Silence {
  return WEIGHT[other] > WEIGHT[one] ? other : one
}

/**
 * Asks every resolver. Those that name a tenant must name the same one (by key, alias or id), else the request is
 * refused with TNY104. One that finds nothing to go by (`'none'`) does not count; where one says `'foreign'` or
 * `'central'`, no other can make a tenant of it.
 *
 * @example
 * allMustAgree(subdomain({ root: 'example.com' }), jwt({ jwks, issuer, audience })) // a token works on its own tenant's host only
 */
export function allMustAgree<R>(...resolvers: readonly Resolver<R>[]): Resolver<R> {
  return withRewrites((request) => {
    const answers = resolvers.map((resolve) => attempt(resolve, request))
    return answers.some((answer) => answer instanceof Promise)
      ? Promise.all(answers.map((answer) => Promise.resolve(answer))).then(agree)
      : agree(answers as Resolution[])
  }, resolvers)
}

/** A part of the path that names a tenant is no route, whichever resolver decides in the end. */
function withRewrites<R>(resolve: Resolver<R>, parts: readonly Resolver<R>[]): Resolver<R> {
  const rewrites = parts.flatMap(({ rewrite }) => rewrite ?? [])
  if (rewrites.length === 0) return resolve
  return Object.assign(resolve, {
    rewrite: (target: string) => rewrites.reduce((text, rewrite) => rewrite(text), target),
  })
}

/** A resolver that throws must not leave the promise of an earlier one behind, whose rejection nobody would hear. */
function attempt<R>(resolve: Resolver<R>, request: ResolvableRequest<R>): Resolution | Promise<Resolution> {
  try {
    return resolve(request)
  } catch (error) {
    return Promise.reject(error)
  }
}

function agree(answers: readonly Resolution[]): Resolution {
  if (answers.includes('foreign')) return 'foreign'
  if (answers.includes('central')) return 'central'
  const named = answers
    .filter((answer) => typeof answer !== 'string')
    .flat<readonly (TenantRef | readonly TenantRef[])[]>()
  const refs = distinctRefs(named)
  return refs.length === 0 ? 'none' : refs.length === 1 ? (refs[0] as TenantRef) : refs
}
