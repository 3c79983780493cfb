/** The face for NestJS 12, on Express and on Fastify: a module that finds the tenant, a guard, a parameter, a filter. */
import {
  Catch,
  createParamDecorator,
  HttpException,
  Inject,
  Module,
  NotFoundException,
  SetMetadata,
} from '@nestjs/common'
import type {
  ArgumentsHost,
  CanActivate,
  DynamicModule,
  ExceptionFilter,
  ExecutionContext,
} from '@nestjs/common'
import type { ModuleMetadata, NestModule } from '@nestjs/common'
import { HttpAdapterHost, Reflector } from '@nestjs/core'
import type { FastifyReply } from 'fastify'
import { TenantryError } from '../core/errors.ts'
import type { TenantRuntime } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'
import { createFailures } from './failures.ts'
import type { ProblemOptions } from './failures.ts'
import { settleOnReply } from './fastify-reply.ts'
import { isTargetKept, nodeParts, requestSignal, settleOnNode, untoldOfRewriting } from './node-exchange.ts'
import type { NodeRequest, NodeResponse } from './node-exchange.ts'
import { tenantryCause } from './problem.ts'
import { createTenantGate } from './tenant-gate.ts'
import type { Served, TenantOptions } from './tenant-gate.ts'

export { drainOnSignal } from './drain.ts'
export type { Drain, DrainOptions } from './drain.ts'
export type { ProblemOptions } from './failures.ts'
export { tenantRewriteUrl } from './node-exchange.ts'
export type { NodeRequest } from './node-exchange.ts'
export type { TenantOptions } from './tenant-gate.ts'

/** The token of the tenancy: `constructor(@Inject(TENANCY) private readonly tenancy: Tenancy)`. */
export const TENANCY = Symbol('tenantry.tenancy')
const OPTIONS = Symbol('tenantry.options')
const WITHOUT_TENANT = Symbol('tenantry.without-tenant')
/** Where a request keeps for whom it is served; on Node's own request, which both platforms have. */
const SERVED = Symbol('tenantry.served')

/** What `TenantryModule.forRoot` may be told. Resolvers and `isMember` get Node's request; on Express it is Express's. */
export interface TenantryModuleOptions extends TenantOptions<NodeRequest>, ProblemOptions<NodeRequest> {
  /** What `createTenancy` returned. */
  readonly tenancy: TenantRuntime
}

/** What `TenantryModule.forRootAsync` may be told. */
export interface TenantryModuleAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  readonly inject?: Parameters<typeof Inject>[0][]
  // oxlint-disable-next-line typescript/no-explicit-any -- what Nest injects is known to the factory alone
  readonly useFactory: (...injected: any[]) => TenantryModuleOptions | Promise<TenantryModuleOptions>
}

/**
 * Finds the tenant of each request, before any route, and runs everything behind it in that tenant's context: guards,
 * interceptors, pipes, handlers and what they await; no provider needs to be request-scoped for it. Refusals are answered as
 * problem+json. It is global, and exports the tenancy as `TENANCY`.
 *
 * @example
 * TenantryModule.forRoot({ tenancy, resolve: subdomain({ root: 'example.com' }), except: ['/healthz'] })
 */
export class TenantryModule implements NestModule {
  readonly #options: TenantryModuleOptions
  readonly #host: HttpAdapterHost

  constructor(options: TenantryModuleOptions, host: HttpAdapterHost) {
    this.#options = options
    this.#host = host
  }

  /** @throws TNY002 where an option is not valid */
  static forRoot(options: TenantryModuleOptions): DynamicModule {
    return TenantryModule.forRootAsync({ useFactory: () => options })
  }

  /** The same, with options that need other providers, such as a configuration. */
  static forRootAsync({ imports = [], inject = [], useFactory }: TenantryModuleAsyncOptions): DynamicModule {
    return {
      module: TenantryModule,
      global: true,
      imports,
      providers: [
        { provide: OPTIONS, useFactory, inject: inject as never[] },
        { provide: TENANCY, useFactory: ({ tenancy }: TenantryModuleOptions) => tenancy, inject: [OPTIONS] },
      ],
      exports: [TENANCY],
    }
  }

  /** Not by the consumer: Nest would match paths, and cut them off the URL that is rewritten. */
  configure(): void {
    const adapter = this.#host.httpAdapter
    adapter.use(tenantMiddleware(this.#options, adapter.getType() === 'fastify'))
  }
}
Module({})(TenantryModule)
Inject(OPTIONS)(TenantryModule, undefined, 0)
Inject(HttpAdapterHost)(TenantryModule, undefined, 1)

type Middleware = (request: NodeRequest, response: NodeResponse, next: () => void) => void

function tenantMiddleware(options: TenantryModuleOptions, onFastify: boolean): Middleware {
  const gate = createTenantGate(options.tenancy, options)
  const decide = createFailures(options)
  const { rewrite } = options.resolve

  return (request, response, next) => {
    function refuse(error: unknown): void {
      settleOnNode(decide(error, { request, tenantId: undefined, begun: response.headersSent }), response)
    }
    if (rewrite !== undefined && onFastify && !isTargetKept(request)) {
      refuse(untoldOfRewriting())
      return
    }
    const parts = nodeParts(request, request)
    gate(parts, () => requestSignal(response)).then(({ tenant, tenantId, run }) => {
      Object.assign(request, { [SERVED]: { tenant, tenantId } satisfies Served })
      if (rewrite !== undefined && !onFastify) request.url = rewrite(parts.target)
      run(next)
    }, refuse)
  }
}

/** For whom a request is served: through Express, Fastify, or a context of GraphQL that has the request as `req`. */
function servedOf(host: ArgumentsHost): Served {
  const given =
    host.getType<string>() === 'graphql'
      ? host.getArgByIndex<{ req?: object } | undefined>(2)?.req
      : host.switchToHttp().getRequest<object | undefined>()
  const request = given !== undefined && 'raw' in given ? given.raw : given
  const served = (request as { [SERVED]?: Served } | undefined)?.[SERVED]
  return served ?? { tenant: undefined, tenantId: undefined }
}

/**
 * The tenant of the request, or one of its properties, as a parameter of a handler. On routes that are served without a
 * tenant it is `undefined`.
 *
 * @example
 * list(@CurrentTenant() tenant: Tenant, @CurrentTenant('plan') plan: string) { … }
 */
export const CurrentTenant: (property?: keyof Tenant) => ParameterDecorator = createParamDecorator(
  (property: keyof Tenant | undefined, host: ExecutionContext) => {
    const { tenant } = servedOf(host)
    return property === undefined ? tenant : tenant?.[property]
  },
)

/** Marks a handler, or all of a controller, that `TenantGuard` lets pass without a tenant. */
export const WithoutTenant = (): MethodDecorator & ClassDecorator => SetMetadata(WITHOUT_TENANT, true)

/**
 * Refuses with 404 where a path of `except` or `central` has led to a route that needs a tenant.
 *
 * @example
 * providers: [{ provide: APP_GUARD, useClass: TenantGuard }]
 */
export class TenantGuard implements CanActivate {
  readonly #reflector = new Reflector()

  canActivate(context: ExecutionContext): boolean {
    const targets = [context.getHandler(), context.getClass()]
    if (this.#reflector.getAllAndOverride<boolean | undefined>(WITHOUT_TENANT, targets) === true) return true
    if (servedOf(context).tenant !== undefined) return true
    const cause = new TenantryError('TNY101')
    throw new NotFoundException(cause.message, { cause })
  }
}

/**
 * Answers errors as problem+json (RFC 9457), those of Nest and routes that do not exist included. Strangers never see a
 * stack, SQL, or the name of another tenant.
 *
 * @example
 * app.useGlobalFilters(problemFilter({ onError: (error, request) => logger.error(error, request.url) }))
 */
export function problemFilter(options: ProblemOptions<NodeRequest> = {}): ExceptionFilter {
  return new ProblemFilter(options)
}

class ProblemFilter implements ExceptionFilter {
  readonly #decide

  constructor(options: ProblemOptions<NodeRequest>) {
    this.#decide = createFailures(options)
  }

  catch(exception: unknown, host: ArgumentsHost): void {
    // Sockets and queues have no response: their own filters know what to do.
    if (host.getType() !== 'http') throw exception
    const response = host.switchToHttp().getResponse<NodeResponse | FastifyReply>()
    const isReply = 'raw' in response
    const { headersSent, req } = isReply ? response.raw : response
    const { tenantId } = servedOf(host)
    const outcome = this.#decide(exposed(exception), { request: req, tenantId, begun: headersSent })
    if (isReply) settleOnReply(outcome, response)
    else settleOnNode(outcome, response)
  }
}
Catch()(ProblemFilter)

/** What Nest's own exceptions say is written for clients; those that validate say several things. */
function exposed(exception: unknown): unknown {
  if (!(exception instanceof HttpException)) return exception
  const cause = tenantryCause(exception)
  if (cause !== undefined) return cause
  const status = exception.getStatus()
  if (status >= 500) return exception
  const { message = exception.message } = Object(exception.getResponse()) as { message?: string | string[] }
  return { status, message: [message].flat().join('; '), expose: true }
}
