/** The contract's site on NestJS 12, over Express and over Fastify; decorators as functions, since nothing compiles them. */
import 'reflect-metadata'
import { All, Controller, Module, Req, StreamableFile } from '@nestjs/common'
import { APP_GUARD, NestFactory } from '@nestjs/core'
import { ExpressAdapter, type NestExpressApplication } from '@nestjs/platform-express'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import { Readable } from 'node:stream'
import {
  CurrentTenant,
  problemFilter,
  TenantGuard,
  TenantryModule,
  tenantRewriteUrl,
  WithoutTenant,
} from '../../../src/http/nest.ts'
import type { Face, Handle, Site, Visit } from './site.ts'

type Tenant = NonNullable<Visit['tenant']>
type NestRequest = AsyncIterable<Uint8Array> & { url: string; body: unknown }

function controllerOf(routes: Readonly<Record<string, Handle>>): new () => object {
  class SiteController {}
  const { prototype } = SiteController
  for (const [path, handle] of Object.entries(routes)) {
    const route = async (tenant: Tenant | undefined, tenantId: string | undefined, request: NestRequest) => {
      const { url, body } = request
      // Fastify leaves the stream as the body.
      const upload = body instanceof Readable ? body : request
      const reply = await handle({ tenant, tenantId, url, body: async () => body, upload: () => upload })
      return 'json' in reply
        ? reply.json
        : new StreamableFile(Readable.from(reply.stream, { objectMode: false }))
    }
    const descriptor = { value: route, writable: true, configurable: true }
    Object.defineProperty(prototype, path, descriptor)
    All(path)(prototype, path, descriptor)
    CurrentTenant()(prototype, path, 0)
    CurrentTenant('id')(prototype, path, 1)
    Req()(prototype, path, 2)
    if (!path.startsWith('/me')) WithoutTenant()(prototype, path, descriptor)
  }
  Controller()(SiteController)
  return SiteController
}

function moduleOf({ tenancy, options, routes, onError }: Site): new () => object {
  class SiteModule {}
  Module({
    imports: [TenantryModule.forRoot({ tenancy, ...options, onError })],
    controllers: [controllerOf(routes)],
    providers: [{ provide: APP_GUARD, useClass: TenantGuard }],
  })(SiteModule)
  return SiteModule
}

const QUIET = { logger: false, forceCloseConnections: true, abortOnError: false } as const

export const nestExpressFace: Face = async (site) => {
  const app = await NestFactory.create<NestExpressApplication>(moduleOf(site), new ExpressAdapter(), QUIET)
  app.useBodyParser('text')
  app.useGlobalFilters(problemFilter({ onError: site.onError }))
  await app.listen(0, '127.0.0.1')
  return { server: app.getHttpServer(), close: () => app.close() }
}

export const nestFastifyFace: Face = async (site) => {
  const adapter = new FastifyAdapter({ rewriteUrl: tenantRewriteUrl(site.options.resolve) })
  const app = await NestFactory.create<NestFastifyApplication>(moduleOf(site), adapter, QUIET)
  for (const type of ['application/octet-stream', 'multipart/form-data']) {
    adapter.getInstance().addContentTypeParser(type, (_request, payload, done) => done(null, payload))
  }
  app.useGlobalFilters(problemFilter({ onError: site.onError }))
  await app.listen(0, '127.0.0.1')
  return { server: app.getHttpServer(), close: () => app.close() }
}
