import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AdminDatabase } from '../../../src/core/database.ts'
import type { Gate } from '../../../src/core/waves.ts'
import { createAdminDatabase } from '../../../src/gateway/admin-database.ts'
import { askGate, type GateAttempt } from '../../../src/migrate/fleet/health-gate.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'

let database: TestDatabase
let db: AdminDatabase
let server: Server
let address: string
const seen: (string | undefined)[] = []

beforeAll(async () => {
  database = await createTestDatabase()
  db = createAdminDatabase(database.adminUrl)
  server = createServer((request, response) => {
    seen.push(request.headers.authorization)
    const status = /^\/status\/(\d+)/.exec(request.url ?? '')?.[1]
    // Anything else is never answered.
    if (status !== undefined) response.writeHead(Number(status), { location: '/status/200' }).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await db.close()
  await database.drop()
})

const wave = { name: 'canary', tenants: 2, migrated: 1, failed: 1 }
const attempts: GateAttempt[] = []
function ask(gate: Gate, signal?: AbortSignal): Promise<string | undefined> {
  attempts.length = 0
  return askGate(
    { intervalMs: 10, ...gate },
    { db, wave, signal, onAttempt: (one) => void attempts.push(one) },
  )
}

test('a command is well where it exits with 0; its last words are told where it does not', async () => {
  expect(await ask({ command: 'test "$TENANTRY_WAVE $TENANTRY_WAVE_FAILED" = "canary 1"' })).toBeUndefined()
  expect(await ask({ command: 'echo so many errors >&2; exit 3' })).toBe(
    'it ended with exit code 3: so many errors',
  )
  // Without a shell a word stays one word.
  const twoWords = [process.execPath, '-e', 'process.exit(process.argv.length - 2)', 'a b']
  expect(await ask({ command: twoWords })).toBeUndefined()
  expect(await ask({ command: ['/no/such/program'] })).toMatch(/ENOENT/)
})

test('a command that takes too long is ended, its children too', async () => {
  const startedAt = performance.now()
  const problem = await ask({ command: 'sleep 60 & wait', timeoutMs: 200 })
  expect(problem).toMatch(/took longer than 200 ms|SIGKILL/)
  expect(performance.now() - startedAt).toBeLessThan(30_000)
})

test('a query is well where its first value is true, and can change nothing', async () => {
  expect(
    await ask({ sql: 'select count(*) = 0 as well, 1 as more from tenantry.quarantine' }),
  ).toBeUndefined()
  expect(await ask({ sql: 'select false' })).toBe('it gave false')
  expect(await ask({ sql: 'select 1 where false' })).toBe('it gave no row')
  expect(await ask({ sql: "insert into tenantry.settings values ('a', '1')" })).toMatch(/read-only/)
  expect(await ask({ sql: 'select pg_sleep(60)', timeoutMs: 100 })).toMatch(/statement timeout|took longer/)
  expect(await ask({ sql: 'selekt' })).toMatch(/syntax error/)
})

test('an address is well by its status; redirects are not followed, and a login in it is shown nowhere', async () => {
  expect(await ask({ http: `${address}/status/204` })).toBeUndefined()
  expect(await ask({ http: `${address}/status/503`, status: [503, 200] })).toBeUndefined()
  expect(await ask({ http: `${address}/status/302` })).toBe('it answered with 302')
  expect(await ask({ http: `${address}/never`, timeoutMs: 100 })).toMatch(/took longer than 100 ms/)
  seen.length = 0
  const secret = address.replace('//', '//me:s%40cret@')
  expect(await ask({ http: `${secret}/status/500?token=abc` })).toBe('it answered with 500')
  expect(seen).toEqual([`Basic ${Buffer.from('me:s@cret').toString('base64')}`])
  expect(JSON.stringify(attempts)).not.toMatch(/cret|abc/)
})

test('a function is well where it neither throws nor gives false', async () => {
  expect(await ask({ check: () => undefined })).toBeUndefined()
  expect(await ask({ check: async ({ failed }) => failed === 0 })).toBe('it gave false')
  expect(
    await ask({
      check: () => {
        throw new Error('p99 is 900 ms')
      },
    }),
  ).toBe('p99 is 900 ms')
  expect(await ask({ check: () => new Promise(() => undefined), timeoutMs: 50 })).toMatch(
    /took longer than 50 ms/,
  )
})

test('a gate is asked again as often as it says, and not once the signal came', async () => {
  let asked = 0
  expect(await ask({ retries: 3, check: () => ++asked === 3 })).toBeUndefined()
  expect(attempts.map(({ attempt, problem }) => [attempt, problem])).toEqual([
    [1, 'it gave false'],
    [2, 'it gave false'],
    [3, undefined],
  ])
  const abort = new AbortController()
  expect(
    await ask(
      { retries: 1000, intervalMs: 60_000, check: () => abort.abort() === undefined && false },
      abort.signal,
    ),
  ).toBeUndefined()
  expect(attempts).toEqual([])
})
