import { expect, test } from 'vitest'
import { createTenantGate } from '../../src/http/tenant-gate.ts'
import { header } from '../../src/resolve/header.ts'
import { sampleTenancy, sampleTenant } from './sample-tenancy.ts'

const acme = sampleTenant('acme')
const globex = sampleTenant('globex')
const tenancy = sampleTenancy([acme, globex])
const { context } = tenancy

function parts(target: string, ...rawHeaders: string[]) {
  return { raw: undefined, target, rawHeaders, remoteAddress: undefined }
}

test('A1: what decides runs without a context, and what is served has its own, whatever is around both', async () => {
  const found: unknown[] = []
  const gate = createTenantGate(tenancy, {
    except: ['/healthz'],
    resolve(request) {
      found.push(context.find())
      return header('x-tenant')(request)
    },
  })
  await context.run(globex, async () => {
    const served = await gate(parts('/', 'x-tenant', 'acme'), () => AbortSignal.abort())
    expect(served.run(() => [context.find(), context.signal()])).toEqual([acme, undefined])
    const without = await gate(parts('/healthz'), () => AbortSignal.abort())
    expect([without.tenant, without.tenantId, without.run(() => context.find())]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
    expect(context.find()).toBe(globex)
  })
  expect(found).toEqual([undefined])
})

test('the signal of the client’s leaving is asked for only where it shall count', async () => {
  const { signal } = new AbortController()
  const gate = createTenantGate(tenancy, { resolve: header('x-tenant'), abortOnDisconnect: true })
  const { run } = await gate(parts('/', 'x-tenant', 'acme'), () => signal)
  expect(run(() => context.signal())).toBe(signal)
})
