import 'reflect-metadata'
import {
  BadRequestException,
  Controller,
  Get,
  type INestApplication,
  Inject,
  InternalServerErrorException,
  Module,
  type Type,
  UseGuards,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import type { Server } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import {
  CurrentTenant,
  problemFilter,
  TENANCY,
  TenantGuard,
  TenantryModule,
  type TenantryModuleAsyncOptions,
  WithoutTenant,
} from '../../src/http/nest.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { describeHttp } from './describe-http.ts'
import { nestExpressFace, nestFastifyFace } from './faces/nest.ts'
import { get, portOf } from './raw-http.ts'
import { type SampleTenancy, sampleTenancy, sampleTenant } from './sample-tenancy.ts'

describeHttp('Nest on Express', nestExpressFace, { http2: false })
describeHttp('Nest on Fastify', nestFastifyFace, { http2: false })

const tenancy = sampleTenancy([sampleTenant('acme')])
const except = ['/api/open', '/api/marked', '/api/probes/*']
const options = { tenancy, resolve: subdomain({ root: 'localhost' }), except }

/** What `@Decorator` would do, since nothing compiles it here. */
function decorate(target: Type, method: string, ...decorators: MethodDecorator[]): void {
  const descriptor = Object.getOwnPropertyDescriptor(target.prototype, method) as PropertyDescriptor
  for (const decorator of decorators) decorator(target.prototype as object, method, descriptor)
}

class ShopController {
  readonly #tenancy: SampleTenancy
  constructor(injected: SampleTenancy) {
    this.#tenancy = injected
  }
  me(key: string, tenant: object): object {
    return { key, same: tenant === this.#tenancy.context.find() }
  }
  open(): string {
    return 'no tenant'
  }
  marked(key?: string): object {
    return { key: key ?? null }
  }
  invalid(): never {
    throw new BadRequestException(['name is missing', 'plan is missing'])
  }
  broken(): never {
    throw new InternalServerErrorException('the secret of globex')
  }
}
Controller()(ShopController)
UseGuards(TenantGuard)(ShopController)
Inject(TENANCY)(ShopController, undefined, 0)
CurrentTenant('key')(ShopController.prototype, 'me', 0)
CurrentTenant()(ShopController.prototype, 'me', 1)
CurrentTenant('key')(ShopController.prototype, 'marked', 0)
for (const name of ['me', 'open', 'invalid', 'broken', 'marked']) decorate(ShopController, name, Get(name))
decorate(ShopController, 'marked', WithoutTenant())

class ProbesController {
  live(): string {
    return 'live'
  }
}
Controller('probes')(ProbesController)
UseGuards(TenantGuard)(ProbesController)
WithoutTenant()(ProbesController)
decorate(ProbesController, 'live', Get('live'))

describe.each([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
])('Nest alone, on %s', (_name, adapter) => {
  let app: INestApplication | undefined
  afterEach(() => app?.close())

  async function start(module: TenantryModuleAsyncOptions, filter = true): Promise<number> {
    class AppModule {}
    Module({
      imports: [TenantryModule.forRootAsync(module)],
      controllers: [ShopController, ProbesController],
    })(AppModule)
    app = await NestFactory.create(AppModule, adapter(), { logger: false, forceCloseConnections: true })
    app.enableCors({ origin: 'https://app.example.com' })
    app.setGlobalPrefix('api')
    if (filter) app.useGlobalFilters(problemFilter({ onError: () => undefined }))
    await app.listen(0, '127.0.0.1')
    return portOf(app.getHttpServer() as Server)
  }

  async function ask(port: number, host: string, path: string): Promise<unknown[]> {
    const { status, text } = await get(port, host, path)
    return [status, text.startsWith('{') ? (JSON.parse(text) as object) : text]
  }

  test('options from other providers, the tenancy injected, the tenant and its properties as parameters', async () => {
    class ConfigModule {}
    Module({ providers: [{ provide: 'ROOT', useValue: 'localhost' }], exports: ['ROOT'] })(ConfigModule)
    const port = await start({
      imports: [ConfigModule],
      inject: ['ROOT'],
      useFactory: async (root: string) => Promise.resolve({ ...options, resolve: subdomain({ root }) }),
    })
    expect(await ask(port, 'acme.localhost', '/api/me')).toEqual([200, { key: 'acme', same: true }])
    expect(await ask(port, 'nobody.localhost', '/api/me')).toMatchObject([404, { code: 'TNY101' }])
    // Outside of the prefix no route is there, and nobody learns more.
    expect(await ask(port, 'nobody.localhost', '/me')).toMatchObject([404, { code: 'TNY101' }])
    const refused = await get(port, 'nobody.localhost', '/api/me', {
      headers: { origin: 'https://app.example.com' },
    })
    expect(refused.headers['access-control-allow-origin']).toBe('https://app.example.com')
  })

  test('I2: the guard refuses routes that are served without a tenant, unless they are marked', async () => {
    const port = await start({ useFactory: () => options })
    expect(await ask(port, 'acme.localhost', '/api/open')).toMatchObject([404, { code: 'TNY101' }])
    expect(await ask(port, 'acme.localhost', '/api/marked')).toEqual([200, { key: null }])
    expect(await ask(port, 'localhost', '/api/probes/live')).toEqual([200, 'live'])
  })

  test('exceptions of Nest say what they said, those of 5xx nothing', async () => {
    const port = await start({ useFactory: () => options })
    const detail = 'name is missing; plan is missing'
    expect(await ask(port, 'acme.localhost', '/api/invalid')).toMatchObject([400, { status: 400, detail }])
    const broken = [500, { title: 'Internal Server Error', status: 500 }]
    expect(await ask(port, 'acme.localhost', '/api/broken')).toEqual(broken)
  })

  test('without the filter Nest answers in its own way, and refusals are the same', async () => {
    const port = await start({ useFactory: () => options }, false)
    expect(await ask(port, 'acme.localhost', '/api/open')).toMatchObject([404, { statusCode: 404 }])
    expect(await ask(port, 'nobody.localhost', '/api/me')).toMatchObject([404, { code: 'TNY101' }])
  })
})
