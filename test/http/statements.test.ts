/** Statements of a real tenancy under every face: also in uploads, and in answers that stream on after the handler. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { subdomain, type Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { FACES } from './faces/all.ts'
import type { Handle, Running } from './faces/site.ts'
import { get, portOf } from './raw-http.ts'

let world: TenantWorld
let tenancy: Tenancy
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open({ max: 4 })
  await tenancy.ready()
})
afterAll(() => world.close())

const KEYS = ['acme', 'globex', 'acme', 'globex', 'acme', 'globex']

async function owners(): Promise<string> {
  const { rows } = await tenancy.pool.query('select distinct owner from orders')
  return rows.map((row) => String(row['owner'])).join()
}

const routes: Record<string, Handle> = {
  '/orders': async () => ({ json: { owners: await owners() } }),
  /** A statement for each part. */
  async '/export'() {
    async function* parts(): AsyncIterable<string> {
      for (let part = 0; part < 8; part += 1) yield `${await owners()} ${'x'.repeat(30_000)}\n`
    }
    return { stream: parts() }
  },
  /** A statement for each chunk. */
  async '/upload'(visit) {
    const found = new Set<string>()
    let bytes = 0
    await tenancy.transaction(async (client) => {
      for await (const chunk of visit.upload()) {
        bytes += chunk.length
        const { rows } = await client.query('select min(owner) as owner from orders')
        found.add(String(rows[0]?.['owner'])).add(await owners())
      }
    })
    return { json: { bytes, found: [...found] } }
  },
  /** A client is kept, and used after it was given back. */
  async '/kept'() {
    const client = await tenancy.pool.connect()
    client.release()
    const code = await client.query('select 1').then(
      () => 'ran',
      (error: { code: string }) => error.code,
    )
    return { json: { code } }
  },
  /** Another tenant's work in the middle of one's own transaction. */
  async '/nested'() {
    return tenancy.transaction(async (client) => {
      const inner = await tenancy.run('globex', owners)
      const { rows } = await client.query('select min(owner) as owner from orders')
      return { json: { inner, outer: String(rows[0]?.['owner']) } }
    })
  },
}

describe.each(Object.entries(FACES))('%s', (_name, load) => {
  let running: Running
  let port: number
  beforeAll(async () => {
    const reported = (error: unknown): void => process.emitWarning(String(error))
    const options = { resolve: subdomain({ root: 'localhost' }) }
    const face = await load()
    running = await face({ tenancy, options, routes, onError: reported })
    port = portOf(running.server)
  })
  afterAll(() => running.close())

  test('A1: statements of a handler, an upload and a stream are all the tenant’s, for several at once', async () => {
    const body = 'x'.repeat(300_000)
    const post = { method: 'POST', body, headers: { 'content-type': 'application/octet-stream' } }
    const ask = async (key: string, path: string, options = {}): Promise<string> =>
      (await get(port, `${key}.localhost`, path, options)).text
    const orders = await Promise.all(KEYS.map((key) => ask(key, '/orders')))
    expect(orders.map((text) => JSON.parse(text))).toEqual(KEYS.map((key) => ({ owners: key })))
    const exports = await Promise.all(KEYS.map((key) => ask(key, '/export')))
    for (const [index, text] of exports.entries()) {
      const found = text
        .trimEnd()
        .split('\n')
        .map((line) => line.split(' ')[0])
      expect(found).toEqual(Array.from({ length: 8 }, () => KEYS[index]))
    }
    const uploads = await Promise.all(KEYS.slice(0, 3).map((key) => ask(key, '/upload', post)))
    expect(uploads.map((text) => JSON.parse(text))).toEqual(
      KEYS.slice(0, 3).map((key) => ({ bytes: body.length, found: [key] })),
    )
  })

  test('A2, A3: a transaction stays with its tenant, and a client that was given back is of no use', async () => {
    const nested = await get(port, 'acme.localhost', '/nested')
    expect(JSON.parse(nested.text)).toEqual({ inner: 'globex', outer: 'acme' })
    expect(JSON.parse((await get(port, 'acme.localhost', '/kept')).text)).toEqual({ code: 'TNY207' })
  })
})
