import { once } from 'node:events'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import { fastify } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FollowedTenants } from '../../src/catalog/follow-tenants.ts'
import { subdomain, type Tenancy } from '../../src/index.ts'
import { tenantMiddleware } from '../../src/http/express.ts'
import { portOf } from '../http/raw-http.ts'
import { sampleTenant } from '../http/sample-tenancy.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { waitFor } from '../support/wait-for.ts'

let world: TenantWorld
let tenancy: Tenancy
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open()
  await tenancy.ready()
})
afterAll(() => world.close())

test('follow() hears each change of its tenant and no other’s, then that it is served no longer, once', async () => {
  const heard: string[] = []
  await tenancy.run('acme', () => tenancy.follow((tenant) => heard.push(tenant?.name ?? 'gone')))
  const stop = await tenancy.run('globex', () => tenancy.follow(() => heard.push('not meant')))
  await waitFor(() => heard.includes('not meant'))
  stop()
  heard.splice(0)
  const { id } = world.tenants['acme'] ?? {}
  await world.db.sql(`update tenantry.tenants set name = 'Acme & Sons' where id = $1`, [id])
  await waitFor(() => heard.includes('Acme & Sons'))
  await world.plane.tenants.suspend('globex')
  await world.plane.tenants.suspend('acme')
  await waitFor(() => heard.includes('gone'))
  await world.plane.tenants.resume('acme')
  await world.plane.tenants.resume('globex')
  await sleep(200)
  expect(heard.filter((text) => text === 'gone')).toHaveLength(1)
  expect(heard).not.toContain('not meant')
  expect(() => tenancy.follow(() => undefined)).toThrow(expect.objectContaining({ code: 'TNY201' }))
})

test('A1: an event stream keeps its tenant in timers, and ends when the tenant is suspended', async () => {
  const app = express()
  app.use(tenantMiddleware(tenancy, { resolve: subdomain({ root: 'example.com' }) }))
  app.get('/events', (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    const send = async (): Promise<void> => {
      const { rows } = await tenancy.pool.query<{ owner: string }>('select distinct owner from orders')
      res.write(`data: ${rows[0]?.owner}\n\n`)
    }
    const timer = setInterval(() => void send().catch(() => undefined), 10)
    const stop = tenancy.follow((tenant) => {
      if (tenant === undefined) res.end()
    })
    res.on('close', () => {
      clearInterval(timer)
      stop()
    })
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const streams = await Promise.all(
      ['acme', 'globex'].map(async (key) => ({ key, answer: await eventsOf(portOf(server), key) })),
    )
    await waitFor(() =>
      streams.every(({ key, answer }) => answer.text().includes(`data: ${key}\n\ndata: ${key}`)),
    )
    await world.plane.tenants.suspend('globex')
    const [acme, globex] = streams
    await globex?.answer.ended
    await world.plane.tenants.resume('globex')
    const before = acme?.answer.text().length ?? 0
    await waitFor(() => (acme?.answer.text().length ?? 0) > before)
    expect(new Set(acme?.answer.text().split('\n\n').slice(0, -1))).toEqual(new Set(['data: acme']))
    expect(new Set(globex?.answer.text().split('\n\n').slice(0, -1))).toEqual(new Set(['data: globex']))
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

/** Reads an event stream as it comes. */
async function eventsOf(port: number, key: string): Promise<{ text(): string; ended: Promise<void> }> {
  return new Promise((resolve, reject) => {
    const headers = { host: `${key}.example.com` }
    const get = request({ port, host: '127.0.0.1', path: '/events', headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('error', () => undefined)
      const ended = new Promise<void>((done) => response.on('close', done))
      resolve({ text: () => text, ended })
    })
    get.on('error', reject).end()
  })
}

test('fields for logs, traces and metrics tell the tenant of the context, and nothing without one', async () => {
  const { id } = world.tenants['acme'] ?? {}
  const lines: string[] = []
  const { log } = fastify({
    logger: { mixin: () => tenancy.logFields(), stream: { write: (line: string) => void lines.push(line) } },
  })
  log.info('outside')
  await tenancy.run('acme', () => log.info('inside'))
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    expect.not.objectContaining({ tenant_id: expect.anything() }),
    { msg: 'inside', tenant_id: id, tenant_key: 'acme' },
  ])
  expect([tenancy.logFields(), tenancy.traceAttributes()]).toEqual([{}, {}])
  expect(tenancy.metricLabels()).toEqual({ tenant_plan: 'none', tenant_model: 'none' })
  await tenancy.run('acme', ({ plan }) => {
    expect(tenancy.logFields()).toEqual({ tenant_id: id, tenant_key: 'acme' })
    expect(tenancy.traceAttributes()).toEqual({
      'tenantry.tenant.id': id,
      'tenantry.tenant.key': 'acme',
      'tenantry.tenant.plan': plan,
      'tenantry.tenant.model': 'schema',
    })
    expect(tenancy.metricLabels()).toEqual({ tenant_plan: plan, tenant_model: 'schema' })
  })
})

test('however slow the catalog is, it is asked about one tenant at a time', async () => {
  let restored: () => void = () => undefined
  let [now, most, asked] = [0, 0, 0]
  const directory = {
    async find() {
      asked += 1
      most = Math.max(most, (now += 1))
      await sleep(5)
      now -= 1
      return sampleTenant('acme')
    },
    locate: () => directory.find(),
    settled: () => Promise.reject(new Error('never asked for')),
  }
  const followed = new FollowedTenants({
    directory,
    on(name, listen) {
      if (name === 'listener:restored') restored = listen as () => void
      return () => undefined
    },
  })
  const stops = ['a', 'b', 'c', 'd'].map((id) => followed.follow(id, () => undefined))
  await waitFor(() => now === 0)
  ;[now, most, asked] = [0, 0, 0]
  for (let n = 0; n < 5; n += 1) {
    restored()
    await sleep(2)
  }
  // Each was asked about after the last of them.
  await waitFor(() => asked >= 8 && now === 0)
  expect(most).toBe(1)
  for (const stop of stops) stop()
})
