/** The face for Fastify 5: a plugin that finds the tenant, one that answers errors, and what the server needs to rewrite. */
import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify'
import type { TenantRuntime } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'
import { createFailures, noRoute } from './failures.ts'
import type { ProblemOptions } from './failures.ts'
import { settleOnReply } from './fastify-reply.ts'
import { isTargetKept, nodeParts, requestSignal, untoldOfRewriting } from './node-exchange.ts'
import { createTenantGate } from './tenant-gate.ts'
import type { TenantOptions } from './tenant-gate.ts'

export { drainOnSignal } from './drain.ts'
export type { Drain, DrainOptions } from './drain.ts'
export type { ProblemOptions } from './failures.ts'
export { tenantRewriteUrl } from './node-exchange.ts'
export type { TenantOptions } from './tenant-gate.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The tenant of this request; `undefined` on `except` and `central` paths. */
    tenant: Tenant | undefined
    /** Its id, to pass to `dbForTenant(request.tenantId)`, which throws TNY201 where there is none. */
    tenantId: string | undefined
  }
}

/** A plugin for `app.register()`; it takes no options of its own. */
export type TenantryPlugin = (app: FastifyInstance, options: object, done: (error?: Error) => void) => void

/**
 * Finds the tenant of each request in `onRequest`, and runs everything behind it in that tenant's context: later hooks,
 * body parsers, handlers and what they await. Refusals become errors; `problemPlugin()` answers them.
 *
 * @param tenancy what `createTenancy` returned
 * @throws TNY002 where an option is not valid
 * @example
 * app.register(tenantPlugin(tenancy, { resolve: subdomain({ root: 'example.com' }), except: ['/healthz'] }))
 */
export function tenantPlugin(tenancy: TenantRuntime, options: TenantOptions<FastifyRequest>): TenantryPlugin {
  const gate = createTenantGate(tenancy, options)
  const rewrites = options.resolve.rewrite !== undefined

  return forAllRoutes('tenantry', (app) => {
    if (!app.hasRequestDecorator('tenant')) {
      app.decorateRequest('tenant', undefined)
      app.decorateRequest('tenantId', undefined)
    }
    // By callback, not as a promise: what Fastify does next must happen inside of run().
    app.addHook('onRequest', (request, reply, done) => {
      if (rewrites && !isTargetKept(request.raw)) {
        done(untoldOfRewriting())
        return
      }
      gate(nodeParts(request, request.raw), () => requestSignal(reply.raw)).then((admitted) => {
        request.tenant = admitted.tenant
        request.tenantId = admitted.tenantId
        admitted.run(done)
      }, done)
    })
  })
}

/**
 * Answers errors, and requests that no route took, as problem+json (RFC 9457). Strangers never see a stack, SQL, or the
 * name of another tenant. Register it before routes; a `setErrorHandler` of your own in a plugin stays in charge there.
 *
 * @example
 * app.register(problemPlugin({ onError: (error, request) => request.log.error(error) }))
 */
export function problemPlugin(options: ProblemOptions<FastifyRequest> = {}): TenantryPlugin {
  const decide = createFailures(options)

  return forAllRoutes('tenantry-problems', (app) => {
    app.setNotFoundHandler((_request, reply) => settleOnReply(noRoute(), reply))
    app.setErrorHandler((error, request, reply) => {
      const { tenantId } = request
      settleOnReply(decide(exposed(error), { request, tenantId, begun: reply.raw.headersSent }), reply)
    })
  })
}

/** Without an encapsulation of its own, as `fastify-plugin` does it: hooks are to hold for the routes beside it. */
function forAllRoutes(name: string, register: (app: FastifyInstance) => void): TenantryPlugin {
  const plugin: TenantryPlugin = (app, _options, done) => {
    register(app)
    done()
  }
  return Object.assign(plugin, {
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: name,
  })
}

/** Fastify's own messages of 4xx, such as those of validation, are written for clients. */
function exposed(error: unknown): unknown {
  const { code, statusCode = 500, message } = Object(error) as Partial<FastifyError>
  return statusCode < 500 && code?.startsWith('FST_') === true ? { statusCode, message, expose: true } : error
}
