import { mkdtempSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:net'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { get } from '../http/raw-http.ts'
import { type Demo, freePort, startDemo, WITH_BOOTSTRAP, WITH_NPM } from '../support/demo.ts'
import { endProcessesOf, processesOf } from '../support/process.ts'

const dir = mkdtempSync(join(tmpdir(), 'tenantry-demo-'))
afterEach(() => {
  endProcessesOf(dir)
})
afterAll(() => {
  rmSync(dir, { recursive: true, force: true })
})

async function customersOf(demo: Demo, key = 'acme'): Promise<string[]> {
  const { text } = await get(demo.port, `${key}.localhost:${demo.port}`, '/orders')
  return (JSON.parse(text) as { customer: string }[]).map(({ customer }) => customer)
}

async function order(demo: Demo, customer: string): Promise<number> {
  const body = JSON.stringify({ customer, amount: 7 })
  const headers = { 'content-type': 'application/json' }
  const host = `acme.localhost:${demo.port}`
  return (await get(demo.port, host, '/orders', { method: 'POST', headers, body })).status
}

async function started(command = WITH_BOOTSTRAP, env: Record<string, string> = {}): Promise<Demo> {
  const demo = await startDemo(command, dir, env)
  await demo.said('ready')
  return demo
}

async function stop(demo: Demo): Promise<void> {
  demo.signal('SIGTERM')
  await demo.ended
}

const SEED = ['Road Runner', 'Wile E. Coyote', 'Bugs Bunny']

describe('npm run demo', () => {
  test('starts from nothing, and says where it answers and for whom', async () => {
    const demo = await startDemo(WITH_NPM, dir)
    await demo.said(`ready http://localhost:${demo.port}\n`)
    await demo.said('Ctrl-C')
    expect(demo.stdout()).toMatch(
      new RegExp(`acme +Acme Corporation +pro +schema +curl http://acme\\.localhost:${demo.port}/orders\\n`),
    )
    expect(demo.stdout()).toMatch(/globex +Globex +free +schema +curl http:/)
    expect(demo.stdout()).toMatch(/initech +Initech +free +shared +curl http:/)
    expect(demo.stdout()).toMatch(/umbrella +Umbrella Corporation +enterprise +database +curl http:/)
    expect(await customersOf(demo)).toEqual(SEED)
    expect(await customersOf(demo, 'globex')).toEqual(['Hank Scorpio', 'Homer Simpson'])
    expect(await customersOf(demo, 'initech')).toEqual(['Milton Waddams', 'Bill Lumbergh'])
    expect(await customersOf(demo, 'umbrella')).toEqual(['Albert Wesker', 'Jill Valentine'])
    expect(await order(demo, 'Marvin')).toBe(201)
    await stop(demo)
  })

  test('starts on the data of the last time in under 5 s', async () => {
    const since = performance.now()
    const demo = await started(WITH_NPM)
    const ms = Math.round(performance.now() - since)
    console.log(`second start of the demo: ${ms} ms`)
    expect(await customersOf(demo)).toEqual([...SEED, 'Marvin'])
    expect(demo.stderr()).not.toMatch(/^(creating|preparing|provisioning|demo)/m)
    expect(ms).toBeLessThan(5_000)
    await stop(demo)
  })

  test('serves the same tenants by another framework', async () => {
    const demo = await started([...WITH_NPM, 'fastify'])
    expect(await customersOf(demo, 'umbrella')).toEqual(['Albert Wesker', 'Jill Valentine'])
    expect(demo.stdout()).not.toContain('/signup')
    await stop(demo)
    expect(processesOf(dir)).toEqual([])
  })

  test('starts afresh with --reset', async () => {
    const demo = await started([...WITH_NPM, '--reset'])
    expect(await customersOf(demo)).toEqual(SEED)
    await stop(demo)
  })
})

describe('what it cannot do is said in one sentence', () => {
  async function refusal(env: Record<string, string>, args: string[] = []): Promise<[number | null, string]> {
    const demo = await startDemo([...WITH_BOOTSTRAP, ...args], dir, env)
    const { code } = await demo.ended
    expect(demo.stdout()).toBe('')
    expect(processesOf(dir)).toEqual([])
    return [code, demo.stderr()]
  }

  test('a port in use', async () => {
    const port = await freePort()
    const other = createServer().listen(port)
    const [code, text] = await refusal({ PORT: String(port) })
    other.close()
    expect(text).toBe(
      `demo: Port ${port} is in use by another program. Choose another one: PORT=3001 npm run demo.\n`,
    )
    expect(code).toBe(1)
  })

  test.each(['abc', '0', '70000', '-1', '80.5', ''])('PORT="%s"', async (port) => {
    const [code, text] = await refusal({ PORT: port })
    expect(text).toMatch(/^demo: PORT is ".*", not a port\. Usage: .*\n$/)
    expect(code).toBe(2)
  })

  test('an unknown option', async () => {
    const [code, text] = await refusal({}, ['--frish'])
    expect(text).toMatch(/^demo: Unknown option '--frish'.* Usage: .*\n$/)
    expect(code).toBe(2)
  })

  test('an example that is not there', async () => {
    const [code, text] = await refusal({}, ['koa'])
    expect(text).toMatch(
      /^demo: There is no example "koa"\. Usage: .*express\|fastify\|hono\|nest\|next.*\n$/,
    )
    expect(code).toBe(2)
  })

  test('a second demo on the same data', async () => {
    const demo = await started()
    const rival = await startDemo(WITH_BOOTSTRAP, dir)
    expect((await rival.ended).code).toBe(1)
    expect(rival.stderr()).toMatch(/^demo: The embedded PostgreSQL of .* already runs for process \d+\..*\n$/)
    expect(await customersOf(demo)).toEqual(SEED)
    await stop(demo)
  })

  test.each(['postgres18/data/global/pg_control', 'postgres18/tenantry.json'])(
    'a data folder whose %s is damaged',
    async (file) => {
      truncateSync(join(dir, file), 5)
      const [code, text] = await refusal({})
      expect(text).toMatch(/^demo: The data folder .* is not usable: .*--reset.*\n$/)
      expect(code).toBe(1)
      const demo = await started([...WITH_BOOTSTRAP, '--reset'])
      expect(await customersOf(demo)).toEqual(SEED)
      await stop(demo)
    },
  )
})
