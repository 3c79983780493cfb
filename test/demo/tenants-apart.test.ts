import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findProjectServer } from '../../dev/project.ts'
import { type Demo, DEMO, startDemo } from '../support/demo.ts'
import { endProcessesOf, RUN } from '../support/process.ts'

const TENANTS = 50
const REQUESTS = 20_000
const CONCURRENCY = 64

interface Order {
  readonly id: number
  readonly customer: string
  readonly amount: number
}

/** A tenant and all orders that it was told to be stored, by id. */
interface Owner {
  readonly key: string
  readonly orders: Map<number, number>
}

const dir = mkdtempSync(join(tmpdir(), 'tenantry-apart-'))
const owners = Array.from({ length: TENANTS }, (_, at): Owner => ({ key: `shop-${at}`, orders: new Map() }))
// Few connections for many hosts: each carries the requests of many tenants, as behind a proxy.
const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY })

afterAll(() => {
  agent.destroy()
  endProcessesOf(dir)
  rmSync(dir, { recursive: true, force: true })
})

function send(port: number, host: string, path: string, json?: object): Promise<unknown> {
  const body = json === undefined ? undefined : JSON.stringify(json)
  return new Promise((resolve, reject) => {
    const headers = { host, ...(body !== undefined && { 'content-type': 'application/json' }) }
    const method = body === undefined ? 'GET' : 'POST'
    const req = request({ port, host: '127.0.0.1', path, method, headers, agent }, (res) => {
      let text = ''
      res.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      res.on('error', reject)
      res.on('end', () => {
        if ((res.statusCode ?? 500) < 300) resolve(JSON.parse(text))
        else reject(new Error(`${method} ${host}${path}: ${res.statusCode} ${text}`))
      })
    })
    req.on('error', reject).end(body)
  })
}

/** Runs the tasks 0 to `count - 1`, so many at once. */
async function concurrently(
  count: number,
  width: number,
  task: (at: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await task(next++)
  }
  await Promise.all(Array.from({ length: width }, worker))
}

/** What an answer holds that is not this tenant's, or that it should not hold; the first is told, all are counted. */
class Findings {
  count = 0
  rows = 0
  first: string | undefined

  note(what: string): void {
    this.count += 1
    this.first ??= what
  }

  /** `known` are the orders of which the tenant knew before it asked. */
  check(owner: Owner, orders: readonly Order[], known: ReadonlyMap<number, number> = new Map()): void {
    for (const { id, customer, amount } of orders) {
      this.rows += 1
      const stored = owner.orders.get(id)
      // Not yet known: its POST is under way. Its customer tells all the same.
      const isOwn = customer === owner.key && (stored === undefined || stored === amount)
      if (!isOwn) this.note(`${owner.key} was given order ${id} of ${customer}, ${amount}`)
    }
    const ids = new Set(orders.map(({ id }) => id))
    for (const id of known.keys()) if (!ids.has(id)) this.note(`${owner.key} misses its order ${id}`)
  }
}

async function act(port: number, owner: Owner, findings: Findings, at: number): Promise<void> {
  const host = `${owner.key}.localhost`
  const kind = Math.random()
  const [known] = [...owner.orders.keys()].slice(-1)
  if (kind < 0.2) {
    const me = (await send(port, host, '/me')) as { key: string }
    if (me.key !== owner.key) findings.note(`${owner.key} is told to be ${me.key}`)
  } else if (kind < 0.45 || known === undefined) {
    const amount = at + 0.25
    const order = (await send(port, host, '/orders', { customer: owner.key, amount })) as Order
    if (owner.orders.has(order.id)) findings.note(`${owner.key} was given the id ${order.id} twice`)
    owner.orders.set(order.id, amount)
    findings.check(owner, [order])
  } else if (kind < 0.75) {
    const order = (await send(port, host, `/orders/${known}`)) as Order
    findings.check(owner, [order], new Map([[known, 0]]))
  } else {
    const before = new Map(owner.orders)
    findings.check(owner, (await send(port, host, '/orders')) as Order[], before)
  }
}

/** Server processes that work for the application, watched until `stop`; one of them is the listener. */
async function watchBackends(): Promise<{ stop(): Promise<ReadonlySet<number>> }> {
  const client = new pg.Client(findProjectServer(dir)?.superuserUrl)
  await client.connect()
  // What this test measures must not be the disk.
  await client.query('alter system set synchronous_commit = off')
  await client.query('select pg_reload_conf()')
  const seen = new Set<number>()
  const look = async (): Promise<void> => {
    const { rows } = await client.query<{ pid: number }>(
      "select pid from pg_stat_activity where usename = 'tenantry_app'",
    )
    for (const { pid } of rows) seen.add(pid)
  }
  const timer = setInterval(() => void look(), 250)
  return {
    async stop() {
      clearInterval(timer)
      await look()
      await client.end()
      return seen
    },
  }
}

describe.each([1, 8])('tenants apart, with a pool of %i', (max) => {
  let demo: Demo

  beforeAll(async () => {
    demo = await startDemo([...RUN, DEMO], dir, { POOL_MAX: String(max) })
    await demo.said('ready')
    // The second pool size finds the tenants of the first, and their orders.
    if (owners.every(({ orders }) => orders.size === 0)) {
      await concurrently(TENANTS, 4, async (at) => {
        await send(demo.port, 'localhost', '/signup', { key: owners[at]?.key, name: `Shop ${at}` })
      })
    }
  }, 90_000)

  afterAll(async () => {
    demo.signal('SIGTERM')
    await demo.ended
  })

  test('A1, P1: no row reaches another tenant in 20,000 mixed requests', { timeout: 120_000 }, async () => {
    const findings = new Findings()
    const backends = await watchBackends()
    const startedAt = performance.now()
    await concurrently(REQUESTS, CONCURRENCY, async (at) => {
      const owner = owners[Math.floor(Math.random() * TENANTS)] as Owner
      // A tenant that does not find what is its own was in another's place.
      await act(demo.port, owner, findings, at).catch((error: unknown) => findings.note(String(error)))
    })
    const seconds = (performance.now() - startedAt) / 1_000
    const seen = await backends.stop()
    for (const owner of owners) {
      const all = (await send(demo.port, `${owner.key}.localhost`, '/orders')) as Order[]
      findings.check(owner, all, owner.orders)
      if (all.length !== owner.orders.size) findings.note(`${owner.key} has orders that it never made`)
    }

    const rate = Math.round(REQUESTS / seconds)
    console.log(
      `pool of ${max}: ${rate} requests/s, ${findings.rows} rows checked, ${findings.count} foreign`,
    )
    expect(findings.first).toBeUndefined()
    expect(findings.count).toBe(0)
    expect(findings.rows).toBeGreaterThan(REQUESTS)
    // 50 tenants on at most that many connections, and the listener's.
    expect(seen.size).toBeGreaterThan(1)
    expect(seen.size).toBeLessThanOrEqual(max + 1)
    expect(demo.stderr()).not.toMatch(/Error/)
  })
})
