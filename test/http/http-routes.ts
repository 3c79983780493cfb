/** The routes of the contract's site: each shows one thing about the context of the request that it serves. */
import { setTimeout as sleep } from 'node:timers/promises'
import { cacheKey } from '../../src/core/cache-key.ts'
import { TenantryError } from '../../src/core/errors.ts'
import type { Handle, Visit } from './faces/site.ts'
import { type SampleTenancy, sampleTenant } from './sample-tenancy.ts'

/** What routes did beside answering. */
export interface Observed {
  /** Tenants (or codes of errors) found by work that outlived its answer. */
  readonly later: string[]
  /** Reasons of signals, in requests to `/hang`. */
  readonly aborted: unknown[]
  /** How often `/hang` began. */
  hanging: number
  /** Signals of requests to `/signal`. */
  readonly signals: (AbortSignal | undefined)[]
}

export function observed(): Observed {
  return { later: [], aborted: [], hanging: 0, signals: [] }
}

/** Callbacks that are run by whoever comes by: here a timer that was there before any request. */
const queue: (() => void)[] = []
const worker = setInterval(() => {
  for (const work of queue.splice(0)) work()
}, 5)
worker.unref()

async function elsewhere<T>(work: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    queue.push(() => {
      try {
        resolve(work())
      } catch (error) {
        reject(error)
      }
    })
  })
}

export function httpRoutes(tenancy: SampleTenancy, seen: Observed): Record<string, Handle> {
  const { context } = tenancy
  const found = (): string | null => context.find()?.key ?? null
  const codeOrKey = (): string => {
    try {
      return context.require().key
    } catch (error) {
      return (error as TenantryError).code
    }
  }
  const ofUrl = (visit: Visit, name: string): string =>
    new URL(visit.url, 'http://any').searchParams.get(name) ?? ''

  async function plain({ tenant, tenantId }: Visit): Promise<{ json: object }> {
    return { json: { tenant: found(), onRequest: tenant ?? tenantId ?? null } }
  }

  return {
    async '/me'(visit) {
      const before = found()
      const body = await visit.body()
      await sleep(Number(ofUrl(visit, 'wait')))
      const { tenant, tenantId, url } = visit
      return {
        json: { before, after: found(), onRequest: tenant?.key ?? null, id: tenantId ?? null, url, body },
      }
    },
    '/healthz': plain,
    '/assets/a': plain,
    '/signup': plain,
    '/SIGNUP': plain,

    /** Reads it chunk by chunk, more slowly than it comes. */
    async '/upload'(visit) {
      let bytes = 0
      const tenants = new Set<string | null>()
      for await (const chunk of visit.upload()) {
        bytes += chunk.length
        tenants.add(found())
        if (Math.random() < 0.05) await sleep(1)
      }
      return { json: { bytes, tenants: [...tenants] } }
    },
    /** Goes on long after the handler has returned, and more than any buffer takes at once. */
    async '/stream'() {
      async function* parts(): AsyncIterable<string> {
        for (let part = 0; part < 60; part += 1) {
          if (part % 10 === 0) await sleep(2)
          yield `${found()} ${'x'.repeat(20_000)}\n`
        }
      }
      return { stream: parts() }
    },
    async '/half'() {
      async function* parts(): AsyncIterable<string> {
        yield 'half'
        await sleep(20)
        throw new Error('late, with the secret of globex')
      }
      return { stream: parts() }
    },

    async '/later'() {
      setTimeout(() => seen.later.push(codeOrKey()), 20)
      return { json: {} }
    },
    async '/elsewhere'() {
      const bound = context.bind(codeOrKey)
      return { json: { plain: await elsewhere(codeOrKey), bound: await elsewhere(bound) } }
    },
    async '/nested'() {
      const inner = await context.run(sampleTenant('globex'), async () => sleep(1).then(found))
      return { json: { inner, outer: found() } }
    },
    async '/cache'() {
      return { json: { key: cacheKey(context.require().id, ['report', 1]) } }
    },
    async '/signal'() {
      seen.signals.push(context.signal())
      return { json: {} }
    },
    async '/hang'() {
      const signal = context.signal()
      seen.hanging += 1
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 3_000)
        signal?.addEventListener('abort', () => {
          clearTimeout(timer)
          resolve()
        })
      })
      seen.aborted.push(signal?.reason)
      signal?.throwIfAborted()
      return { json: {} }
    },

    async '/fails'() {
      throw new Error('the secret of globex')
    },
    async '/away'() {
      throw new TenantryError('TNY202', { cause: new Error('10.0.0.1') })
    },
    async '/lost'() {
      throw new TenantryError('TNY211', {
        params: { tenant: 'acme', status: 'suspended' },
        tenantId: context.require().id,
      })
    },
    async '/lost-other'() {
      throw new TenantryError('TNY211', {
        params: { tenant: 'globex', status: 'suspended' },
        tenantId: 'id-of-globex',
      })
    },
    async '/taken'() {
      throw new TenantryError('TNY301', { params: { key: 'acme' } })
    },
  }
}
