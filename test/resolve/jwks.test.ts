/** Keys of an issuer over HTTP, from a real server that rotates them, is away, is slow or answers nonsense. */
import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { createServer } from 'node:http'
import type { Server, ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { jwt } from '../../src/resolve/jwt.ts'
import type { Resolver } from '../../src/resolve/resolver.ts'
import { portOf } from '../http/raw-http.ts'
import { outcomeOf, sampleRequest } from './sample-request.ts'
import { AUDIENCE, bearer, claimsOf, ISSUER, sign } from './sample-tokens.ts'

const ID = 'id-of-acme'
const pairs = new Map(
  ['k1', 'k2', 'k3'].map((kid) => [kid, generateKeyPairSync('ec', { namedCurve: 'P-256' })]),
)

/** What the issuer publishes. */
let published: string[]
let fetches: number
let respond: (response: ServerResponse) => void
let server: Server
let resolve: Resolver
let warnings: string[]
const onWarning = ({ name, message }: Error): void => void warnings.push(`${name}: ${message}`)

beforeEach(async () => {
  published = ['k1']
  fetches = 0
  warnings = []
  process.on('warning', onWarning)
  respond = (response) => {
    const keys = published.map((kid) => ({
      ...pairs.get(kid)?.publicKey.export({ format: 'jwk' }),
      kid,
      use: 'sig',
    }))
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }))
  }
  server = createServer((_, response) => {
    fetches += 1
    respond(response)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  resolve = resolverOf(portOf(server))
})
afterEach(async () => {
  vi.useRealTimers()
  process.off('warning', onWarning)
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
})

function resolverOf(port: number): Resolver {
  return jwt({ jwks: `http://127.0.0.1:${port}/jwks`, issuer: ISSUER, audience: AUDIENCE })
}

/** A token of a key, valid for a day. */
function tokenOf(kid: string, key: KeyObject | undefined = pairs.get(kid)?.privateKey): Promise<string> {
  const exp = Math.floor(Date.now() / 1_000) + 86_400
  return sign(claimsOf(ID, { exp }), key ?? pairs.get('k1')!.privateKey, { alg: 'ES256', kid })
}

const outcome = (token: string, by = resolve): Promise<unknown> => outcomeOf(by, sampleRequest(bearer(token)))

/** Moves the clock; sockets and timers go on as ever. */
function travel(seconds: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + seconds * 1_000 })
}

/** Until what happens behind the backs of requests has happened. */
const settled = async (condition: () => unknown): Promise<void> => {
  await vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 10_000, interval: 10 })
}

describe('a JWK Set', () => {
  test('is fetched once for many requests, and not before the first token', async () => {
    expect(await outcomeOf(resolve, sampleRequest([]))).toBe('none')
    expect(await outcome('opaque')).toBe('none')
    expect(fetches).toBe(0)
    const tokens = await Promise.all(Array.from({ length: 20 }, () => tokenOf('k1')))
    expect(await Promise.all(tokens.map((token) => outcome(token)))).toEqual(tokens.map(() => ({ id: ID })))
    expect(fetches).toBe(1)
  })

  test('follows a rotation: a new key is found by the first token that bears it', async () => {
    expect(await outcome(await tokenOf('k1'))).toEqual({ id: ID })
    published = ['k1', 'k2']
    travel(31)
    expect(await outcome(await tokenOf('k2'))).toEqual({ id: ID })
    expect(await outcome(await tokenOf('k1'))).toEqual({ id: ID })
    expect(fetches).toBe(2)
  })

  test('follows a withdrawal: what was verified with a key that is gone is refused within minutes', async () => {
    const token = await tokenOf('k1')
    expect(await outcome(token)).toEqual({ id: ID })
    published = ['k2']
    travel(60)
    // Bounded, and documented: nobody has asked the issuer.
    expect(await outcome(token)).toEqual({ id: ID })
    travel(5 * 60)
    // This one makes it ask, and does not wait.
    expect(await outcome(token)).toEqual({ id: ID })
    await settled(() => fetches === 2)
    await vi.waitFor(async () => expect(await outcome(token)).toBe('TNY113'), { timeout: 10_000 })
    expect(await outcome(await tokenOf('k2'))).toEqual({ id: ID })
  })

  test('that is older than ten minutes is not believed before it was asked for', async () => {
    const token = await tokenOf('k1')
    expect(await outcome(token)).toEqual({ id: ID })
    published = ['k2']
    travel(11 * 60)
    expect(await outcome(token)).toBe('TNY113')
  })

  test('cannot be made to be fetched for each token that names an unknown key', async () => {
    expect(await outcome(await tokenOf('k1'))).toEqual({ id: ID })
    const flood = async (): Promise<void> => {
      const tokens = await Promise.all(Array.from({ length: 100 }, (_, n) => tokenOf(`unknown-${n}`)))
      const found = []
      for (const token of tokens) found.push(await outcome(token))
      expect(found).toEqual(tokens.map(() => 'TNY113'))
    }
    await flood()
    expect(fetches).toBe(1)
    travel(31)
    await flood()
    expect(fetches).toBe(2)
    expect(await outcome(await tokenOf('k1'))).toEqual({ id: ID })
  })

  test('I1: a token that names a known key and bears another signature is refused', async () => {
    expect(await outcome(await tokenOf('k1', pairs.get('k3')?.privateKey))).toBe('TNY113')
    expect(await outcome(await sign(claimsOf(ID), Buffer.alloc(32, 1), { alg: 'HS256', kid: 'k1' }))).toBe(
      'TNY113',
    )
  })
})

describe('P7: an issuer that is away', () => {
  test('from the start is a 503, which says when to try again, and is not asked by each request', async () => {
    respond = (response) => response.destroy()
    const token = await tokenOf('k1')
    for (let n = 0; n < 20; n += 1) expect(await outcome(token)).toBe('TNY116')
    expect(fetches).toBe(1)
    await settled(() => warnings.length > 0)
    expect(warnings).toEqual([expect.stringContaining('cannot be fetched')])
    travel(6)
    respond = (response) => response.end('{"keys":[]}')
    expect(await outcome(token)).toBe('TNY113')
  })

  test('later is not noticed for an hour, but reported; then nothing is believed', async () => {
    const token = await tokenOf('k1')
    expect(await outcome(token)).toEqual({ id: ID })
    respond = (response) => response.destroy()
    for (const minutes of [6, 20, 30]) {
      travel(minutes * 60)
      expect(await outcome(token)).toEqual({ id: ID })
      expect(await outcome(await tokenOf('k1'))).toEqual({ id: ID })
    }
    await settled(() => warnings.length > 0)
    travel(10 * 60)
    expect(await outcome(token)).toBe('TNY116')
  })

  test('nobody listens there', async () => {
    const closed = createServer()
    await new Promise<void>((done) => closed.listen(0, '127.0.0.1', done))
    const port = portOf(closed)
    await new Promise((done) => closed.close(done))
    expect(await outcome(await tokenOf('k1'), resolverOf(port))).toBe('TNY116')
  })

  test.each([
    ['an error', (response: ServerResponse) => response.writeHead(500).end('{"keys":[]}')],
    ['a redirect', (response: ServerResponse) => response.writeHead(302, { location: '/other' }).end()],
    ['no JSON', (response: ServerResponse) => response.end('<html>')],
    ['no keys', (response: ServerResponse) => response.end('{"a":1}')],
    [
      'half an answer',
      (response: ServerResponse) =>
        response.writeHead(200, { 'content-length': '100' }).write('{', () => response.destroy()),
    ],
  ])('answers %s', async (_, answer) => {
    respond = answer
    expect(await outcome(await tokenOf('k1'))).toBe('TNY116')
  })

  test('is slow: requests wait for one answer together, and for keys that are there not at all', async () => {
    let release = (): void => undefined
    const held = new Promise<void>((done) => (release = done))
    const answer = respond
    respond = (response) => void held.then(() => answer(response))
    const token = await tokenOf('k1')
    const waiting = Array.from({ length: 20 }, () => outcome(token))
    await settled(() => fetches === 1)
    release()
    expect(await Promise.all(waiting)).toEqual(waiting.map(() => ({ id: ID })))
    expect(fetches).toBe(1)

    respond = () => undefined
    travel(6 * 60)
    expect(await outcome(token)).toEqual({ id: ID })
    await settled(() => fetches === 2)
    expect(await outcome(await tokenOf('k1'))).toEqual({ id: ID })
  })

  test('never answers: that ends, too', async () => {
    respond = () => undefined
    expect(await outcome(await tokenOf('k1'))).toBe('TNY116')
  }, 30_000)
})
