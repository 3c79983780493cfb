import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiKeyCache } from '../../src/catalog/api-key-cache.ts'
import { hashOfSecret, makeSecret } from '../../src/catalog/api-key-secret.ts'
import { LookupLine } from '../../src/catalog/lookup-line.ts'
import { createControlPlane, type Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { BUSY_MS, waitFor } from '../support/wait-for.ts'

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
})
afterAll(() => world.close())

/** THREATS I8: effective within a second everywhere. */
const ONE_SECOND = 1_000 + BUSY_MS

describe('a secret', () => {
  test('has a prefix, 43 random characters and a checksum; of it, the catalog has the hash and the beginning', async () => {
    const { key, secret } = await world.plane.apiKeys.create('acme', {
      name: 'import',
      scopes: ['orders:read', 'orders:write', 'orders:read'],
    })
    expect(secret).toMatch(/^tny_[0-9A-Za-z]{49}$/)
    expect(key).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      tenantId: world.tenants['acme']?.id,
      name: 'import',
      prefix: secret.slice(0, 12),
      scopes: ['orders:read', 'orders:write'],
      createdAt: expect.any(Date),
      expiresAt: undefined,
      revokedAt: undefined,
    })
    expect(await world.plane.apiKeys.list('acme')).toContainEqual(key)
    const rows = await world.db.sql(
      'select to_jsonb(a)::text as row from tenantry.api_keys a where id = $1',
      [key.id],
    )
    expect(rows[0]?.['row']).toContain(hashOfSecret(secret))
    expect(rows[0]?.['row']).not.toContain(secret.slice(13))
  })

  test('may begin with the application’s own words', async () => {
    const own = createControlPlane({ connection: world.db.adminUrl, apiKeyPrefix: 'acme_live' })
    try {
      const { secret, key } = await own.apiKeys.create('acme', { name: 'own' })
      expect(secret).toMatch(/^acme_live_[0-9A-Za-z]{49}$/)
      expect(await world.open().apiKeys.find(secret)).toMatchObject({ id: key.id, name: 'own' })
    } finally {
      await own.close()
    }
  })

  test('with any one character changed is known to be none, and no two are alike', () => {
    const alphabet = Array.from('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-. é')
    const { secret } = makeSecret('tny')
    for (let at = 0; at < secret.length; at += 1) {
      for (const letter of alphabet) {
        const typo = secret.slice(0, at) + letter + secret.slice(at + 1)
        if (typo !== secret) expect(hashOfSecret(typo), typo).toBeUndefined()
      }
    }
    expect(new Set(Array.from({ length: 1_000 }, () => makeSecret('tny').secret)).size).toBe(1_000)
  })

  test('I7: of anything else none is taken for one', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.anything(),
          fc.string().map((text) => `tny_${text}`),
        ),
        (text) => {
          expect(hashOfSecret(text)).toBeUndefined()
        },
      ),
    )
    expect(hashOfSecret(`tny_${'a'.repeat(10_000_000)}`)).toBeUndefined()
  })

  test.each([
    [{ name: '' }],
    [{ name: 'a\n' }],
    [{ name: 'a'.repeat(201) }],
    [{ name: 'a', scopes: ['two words'] }],
    [{ name: 'a', scopes: 'orders' as unknown as string[] }],
    [{ name: 'a', scopes: Array.from({ length: 101 }, (_, n) => `s${n}`) }],
    [{ name: 'a', expiresAt: new Date(0) }],
    [{ name: 'a', expiresAt: new Date('never') }],
  ])('TNY317 for %j, before any SQL', async (input) => {
    await expect(world.plane.apiKeys.create('acme', input)).rejects.toMatchObject({ code: 'TNY317' })
  })

  test('V2: whoever gives the secret instead of the id does not find it in the message', async () => {
    const { secret } = await world.plane.apiKeys.create('acme', { name: 'mistaken' })
    const refusal = await world.plane.apiKeys.revoke(secret).catch((error: unknown) => error as Error)
    expect(refusal).toMatchObject({ code: 'TNY318', message: 'There is no API key "tny_…".' })
  })

  test('TNY302 for a tenant that is not there, TNY318 for a key that is not', async () => {
    await expect(world.plane.apiKeys.create('nobody', { name: 'a' })).rejects.toMatchObject({
      code: 'TNY302',
    })
    for (const id of ['nothing', 'a\0', '']) {
      await expect(world.plane.apiKeys.revoke(id)).rejects.toMatchObject({ code: 'TNY318' })
    }
  })
})

async function isTaken(tenancy: Tenancy, secret: string): Promise<boolean> {
  return (await tenancy.apiKeys.find(secret)) !== undefined
}

describe('in a running process', () => {
  test('a key is found once in the catalog, then in memory; what is none is not looked up', async () => {
    const { secret, key } = await world.plane.apiKeys.create('globex', { name: 'one', scopes: ['a'] })
    const tenancy = world.open()
    const { id, tenantId, name, scopes, expiresAt } = key
    expect(await tenancy.apiKeys.find(secret)).toEqual({ id, tenantId, name, scopes, expiresAt })
    await waitFor(async () => (await tenancy.health()).listening)
    await tenancy.apiKeys.find(secret)
    let flights = 0
    tenancy.on('flight:done', () => (flights += 1))
    expect(tenancy.apiKeys.find(secret)).toMatchObject({ id })
    for (const text of ['', 'tny_', secret.slice(0, -1), `${secret}x`, secret.replace('_', '-')]) {
      expect(tenancy.apiKeys.find(text)).toBeUndefined()
    }
    const stranger = makeSecret('tny').secret
    expect(await tenancy.apiKeys.find(stranger)).toBeUndefined()
    for (let n = 0; n < 100; n += 1) expect(tenancy.apiKeys.find(stranger)).toBeUndefined()
    expect(flights).toBe(1)
  })

  test('I8: a revocation is effective within a second in a process that had the key in memory', async () => {
    const { secret, key } = await world.plane.apiKeys.create('acme', { name: 'revoked' })
    const other = await world.plane.apiKeys.create('acme', { name: 'stays' })
    const tenancy = world.open()
    await tenancy.ready()
    await waitFor(async () => (await tenancy.health()).listening)
    expect([await isTaken(tenancy, secret), await isTaken(tenancy, other.secret)]).toEqual([true, true])
    // In memory, or this would be a promise.
    expect(tenancy.apiKeys.find(secret)).toMatchObject({ id: key.id })
    const { revokedAt } = await world.plane.apiKeys.revoke(key.id)
    expect(await waitFor(async () => !(await isTaken(tenancy, secret)))).toBeLessThan(ONE_SECOND)
    expect(await isTaken(tenancy, other.secret)).toBe(true)
    // Whoever revokes it again learns when it was.
    expect((await world.plane.apiKeys.revoke(key.id)).revokedAt).toEqual(revokedAt)
  })

  test('I8: also while the listener is down: then each look-up asks', async () => {
    const { secret, key } = await world.plane.apiKeys.create('acme', { name: 'deaf' })
    // Nothing listens there.
    const tenancy = world.open({ direct: 'postgres://nobody@127.0.0.1:1/nothing' })
    expect(await isTaken(tenancy, secret)).toBe(true)
    await world.plane.apiKeys.revoke(key.id)
    expect(await isTaken(tenancy, secret)).toBe(false)
  })

  test('a key that expires is refused from then on, though it is in memory', async () => {
    const expiresAt = new Date(Date.now() + 400)
    const { secret } = await world.plane.apiKeys.create('acme', { name: 'short', expiresAt })
    const tenancy = world.open()
    const early = await tenancy.apiKeys.find(secret)
    if (Date.now() < expiresAt.getTime()) expect(early).toMatchObject({ name: 'short', expiresAt })
    await waitFor(() => Date.now() >= expiresAt.getTime())
    expect(await tenancy.apiKeys.find(secret)).toBeUndefined()
    const cache = new ApiKeyCache({
      load: async () => ({
        id: '1',
        tenantId: '1',
        name: 'a',
        scopes: [],
        expiresAt: new Date(Date.now() + 60),
      }),
      isCurrent: () => true,
      max: 10,
      line: new LookupLine({ atOnce: 1, waiting: 1 }),
    })
    const { secret: other } = makeSecret('tny')
    await cache.find(other)
    await waitFor(() => cache.find(other) === undefined)
  })

  test('the runtime login can ask for one key and list none; a tenant can do neither', async () => {
    const tenancy = world.open()
    await expect(tenancy.central.query('select * from tenantry.api_keys')).rejects.toMatchObject({
      code: '42501',
    })
    await expect(tenancy.central.query('select token from tenantry.domains')).rejects.toMatchObject({
      code: '42501',
    })
    const ask = "select tenantry.find_api_key('\\x00')"
    await expect(tenancy.poolFor('acme').query(ask)).rejects.toMatchObject({ code: '42501' })
    const { rows } = await tenancy.central.query(`${ask} as key`)
    expect(rows).toEqual([{ key: null }])
  })
})
