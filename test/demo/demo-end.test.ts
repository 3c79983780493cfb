import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { findProjectServer } from '../../dev/project.ts'
import { get } from '../http/raw-http.ts'
import { type Demo, startDemo, WITH_BOOTSTRAP, WITH_NPM } from '../support/demo.ts'
import { endProcessesOf, type FoundProcess, processesOf } from '../support/process.ts'
import { waitFor } from '../support/wait-for.ts'

const dir = mkdtempSync(join(tmpdir(), 'tenantry-end-'))
afterEach(() => {
  endProcessesOf(dir)
})
afterAll(() => {
  rmSync(dir, { recursive: true, force: true })
})

async function started(command: readonly string[] = WITH_BOOTSTRAP): Promise<Demo> {
  const demo = await startDemo(command, dir)
  await demo.said('Ctrl-C')
  return demo
}

async function order(demo: Demo, customer: string): Promise<number> {
  const { status } = await get(demo.port, `acme.localhost:${demo.port}`, '/orders', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ customer, amount: 1 }),
  })
  return status
}

async function customers(demo: Demo): Promise<string> {
  return (await get(demo.port, `acme.localhost:${demo.port}`, '/orders')).text
}

/** Holds acme's orders, so that a request stays in flight until `release`. */
async function holdOrders(): Promise<{ waiting(): Promise<boolean>; release(): Promise<void> }> {
  const client = new pg.Client(findProjectServer(dir)?.superuserUrl)
  client.on('error', () => undefined)
  await client.connect()
  await client.query('begin')
  await client.query('lock table tenant_acme.orders in access exclusive mode')
  return {
    async waiting() {
      const { rows } = await client.query("select from pg_stat_activity where wait_event_type = 'Lock'")
      return rows.length > 0
    },
    async release() {
      await client.query('rollback')
      await client.end()
    },
  }
}

describe('an orderly end: the request in flight is answered, and no process stays', () => {
  // A terminal sends Ctrl-C to the whole group, and npm and bootstrap.mjs pass it on as well.
  test.each([
    { how: 'SIGINT to the group, through npm', command: WITH_NPM, group: true, signal: 'SIGINT' },
    { how: 'SIGINT to npm alone', command: WITH_NPM, group: false, signal: 'SIGINT' },
    { how: 'SIGTERM to npm alone', command: WITH_NPM, group: false, signal: 'SIGTERM' },
    { how: 'SIGINT to the group', command: WITH_BOOTSTRAP, group: true, signal: 'SIGINT' },
    { how: 'SIGTERM to the group', command: WITH_BOOTSTRAP, group: true, signal: 'SIGTERM' },
    { how: 'SIGTERM to bootstrap.mjs alone', command: WITH_BOOTSTRAP, group: false, signal: 'SIGTERM' },
    {
      how: 'SIGHUP to the group, as a closed terminal does',
      command: WITH_BOOTSTRAP,
      group: true,
      signal: 'SIGHUP',
    },
  ] as const)('$how', async ({ command, group, signal }) => {
    const demo = await started(command)
    const held = await holdOrders()
    const inFlight = order(demo, signal).catch(String)
    await waitFor(() => held.waiting())
    if (group) demo.signalGroup(signal)
    else demo.signal(signal)
    await waitFor(async () => {
      const answer = await get(demo.port, 'localhost', '/healthz').catch(() => undefined)
      return answer === undefined || answer.status === 503
    })
    await held.release()
    expect(await inFlight).toBe(201)
    await demo.ended
    await waitFor(() => processesOf(dir).length === 0, 1_000)
    expect(demo.stderr()).not.toMatch(/Error|ended by itself/)
  })
})

describe('after kill -9 the next start finds all data', () => {
  const is = (pattern: RegExp) => (found: FoundProcess) => pattern.test(found.command)
  const supervisor = is(/^\/bin\/sh -c [^]*postgres -D/)
  const server = is(/^\S*postgres -D/)
  const parts: [string, (found: FoundProcess) => boolean][] = [
    ['everything but the supervisor', (found) => !supervisor(found)],
    ['everything', () => true],
    ['bootstrap.mjs', is(/bootstrap\.mjs/)],
    ['the demo', is(/--conditions=tenantry-dev.*demo\.ts/)],
    ['both of them', is(/demo\.ts/)],
    ['the server', server],
    ['the supervisor', supervisor],
    ['the demo and the supervisor', (found) => supervisor(found) || /demo\.ts/.test(found.command)],
  ]
  const expected: string[] = []

  test.each(parts)('of %s', async (name, isMeant) => {
    const demo = await started()
    expect(await order(demo, name)).toBe(201)
    expected.push(name)
    const victims = processesOf(dir).filter(isMeant)
    expect(victims).not.toEqual([])
    for (const { pid } of victims) process.kill(pid, 'SIGKILL')
    // At once, as an impatient user does; what is left of the last start may still be about to end.
    const next = await restarted()
    for (const customer of expected) expect(await customers(next)).toContain(`"${customer}"`)
    next.signal('SIGTERM')
    await next.ended
    await demo.ended
    await waitFor(() => processesOf(dir).length === 0, 1_000)
  })

  /** A demo that still ends may hold the folder for a moment, and says so. */
  async function restarted(): Promise<Demo> {
    for (let attempt = 0; ; attempt += 1) {
      const demo = await startDemo(WITH_BOOTSTRAP, dir)
      try {
        await demo.said('Ctrl-C')
        return demo
      } catch (error) {
        if (attempt > 10 || !demo.stderr().includes('already runs for process')) throw error
      }
    }
  }
})
