import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createStorage, prefixStorage, type Storage } from 'unstorage'
import fsDriver from 'unstorage/drivers/fs-lite'
import memoryDriver from 'unstorage/drivers/memory'
import redisDriver from 'unstorage/drivers/redis'
import { tenantStorage } from '../../src/cache/unstorage.ts'
import { createContext } from '../../src/core/context.ts'
import type { Tenant } from '../../src/index.ts'
import { sampleTenant } from '../http/sample-tenancy.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

const context = createContext()
const withId = (id: string): Tenant => ({ ...sampleTenant('any'), id })
const acme = withId('0199aaaa-0000-7000-8000-000000000001')
const globex = withId('0199aaaa-0000-7000-8000-000000000002')

const as = <T>(tenant: Tenant, fn: () => T): T => context.run(tenant, fn)

let redis: RedisServer
let folder: string
beforeAll(async () => {
  redis = await startRedis()
  folder = mkdtempSync(join(tmpdir(), 'tenantry-storage-'))
})
afterAll(async () => {
  await redis.stop()
  rmSync(folder, { recursive: true, force: true })
})

const storages: Record<string, () => Storage> = {
  memory: () => createStorage({ driver: memoryDriver() }),
  redis: () => createStorage({ driver: redisDriver({ base: 'app', host: redis.host, port: redis.port }) }),
  files: () => createStorage({ driver: fsDriver({ base: join(folder, 'data') }) }),
}

describe.each(Object.keys(storages))('tenantStorage on %s', (name) => {
  let bare: Storage
  beforeAll(() => {
    bare = storages[name]?.() ?? createStorage()
  })
  afterAll(() => bare.dispose())

  test('A4: each tenant reads, lists and clears its own keys, under the same names', async () => {
    const storage = tenantStorage({ context }, bare)
    await bare.setItem('beside', 'not a tenant’s')
    await as(acme, async () => {
      await storage.setItem('orders:7', { owner: 'acme' })
      await storage.setItems([{ key: 'plain', value: 'acme' }])
      await storage.setItemRaw('raw', 'acme')
      await storage.setMeta('orders:7', { mark: 'acme' })
    })
    await as(globex, async () => {
      expect(await storage.getItem('orders:7')).toBeNull()
      expect(await storage.hasItem('orders:7')).toBe(false)
      expect(await storage.getKeys()).toEqual([])
      expect(await storage.getItemRaw('raw')).toBeNull()
      await storage.setItem('orders/7', { owner: 'globex' })
      expect(await storage.getItems(['orders:7', { key: 'plain' }])).toEqual([
        { key: 'orders:7', value: { owner: 'globex' } },
        { key: 'plain', value: null },
      ])
      expect(await storage.getKeys('orders')).toEqual(['orders:7'])
      expect(await storage.getMeta('orders:7')).not.toHaveProperty('mark')
      await storage.removeItem('plain')
      await storage.clear()
      expect(await storage.getKeys()).toEqual([])
    })
    await as(acme, async () => {
      expect((await storage.getKeys()).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
        'orders:7',
        'plain',
        'raw',
      ])
      expect(await storage.getKeys('', { maxDepth: 0 })).toEqual(expect.not.arrayContaining(['orders:7']))
      expect(await storage.get('orders:7')).toEqual({ owner: 'acme' })
      expect(await storage.getMeta('orders:7')).toMatchObject({ mark: 'acme' })
      await storage.clear('orders')
      expect((await storage.keys()).toSorted((a, b) => (a < b ? -1 : 1))).toEqual(['plain', 'raw'])
    })
    expect(await bare.getItem('beside')).toBe('not a tenant’s')
  })
})

test('A4: the unsafe control: a storage with a prefix hears of the other tenant’s keys', async () => {
  const bare = createStorage({ driver: memoryDriver() })
  const heard: string[] = []
  await prefixStorage(bare, 'globex').watch((_event, key) => heard.push(key))
  await prefixStorage(bare, 'acme').setItem('secret-name', 1)
  expect(heard).toEqual(['acme:secret-name'])
})

test('A4: no key leaves its tenant, and none of another is met, whatever keys and ids contain', async () => {
  const text = fc.oneof(
    fc
      .array(
        fc.constantFrom('..', '.', ':', '/', '\\', '?', '$', 'tenants', acme.id, 'a', '%2e', '\0', ' '),
        {
          maxLength: 6,
        },
      )
      .map((parts) => parts.join('')),
    fc.string({ maxLength: 12 }),
  )
  const id = fc.string({
    unit: fc.constantFrom('a', 'A', '.', ':', '/', '_', '-', '\\', '?', '4', '1'),
    minLength: 1,
    maxLength: 5,
  })
  await fc.assert(
    fc.asyncProperty(id, id, text, text, async (one, two, key, other) => {
      fc.pre(one !== two)
      const bare = createStorage({ driver: memoryDriver() })
      const storage = tenantStorage({ context }, bare)
      await as(withId(two), () => storage.setItem('kept', 'two'))
      await as(withId(one), async () => {
        const written = await storage.setItem(key, 'one').then(
          () => true,
          (error: { code: string }) => {
            expect(error.code).toBe('TNY223')
            return false
          },
        )
        if (written) expect(await storage.getItem(key)).toBe('one')
        await Promise.allSettled([storage.getItem(other), storage.removeItem(other), storage.clear(other)])
        expect(JSON.stringify(await storage.getKeys())).not.toContain('kept')
        await storage.clear()
      })
      await as(withId(two), async () => {
        expect(await storage.getKeys()).toEqual(['kept'])
        expect(await storage.getItem('kept')).toBe('two')
      })
      // Nothing of the first is left anywhere, but for what is no item.
      expect((await bare.getKeys()).length).toBe(1)
    }),
    { numRuns: 300 },
  )
})

test('A4: watch() hears of the tenant’s own keys, in its context; unwatch() ends its own alone', async () => {
  const bare = createStorage({ driver: memoryDriver() })
  const storage = tenantStorage({ context }, bare)
  const heard: string[] = []
  for (const tenant of [acme, globex]) {
    await as(tenant, () =>
      storage.watch((event, key) => heard.push(`${event} ${key} ${context.find()?.id === tenant.id}`)),
    )
  }
  await as(acme, () => storage.setItem('one', 1))
  await as(globex, () => storage.unwatch())
  await as(acme, () => storage.removeItem('one'))
  await as(globex, () => storage.setItem('two', 2))
  expect(heard).toEqual(['update one true', 'remove one true'])
})

test('A1: without a tenant nothing is read or written', async () => {
  const storage = tenantStorage({ context }, createStorage())
  for (const call of [
    () => storage.getItem('key'),
    () => storage.setItem('key', 1),
    () => storage.getKeys(),
    () => storage.clear(),
    () => storage.watch(() => undefined),
  ]) {
    await expect(call()).rejects.toMatchObject({ code: 'TNY201' })
  }
})
