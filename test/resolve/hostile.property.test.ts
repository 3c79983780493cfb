/**
 * Whatever comes in a request, no other tenant is served than the one that it names, and nothing crashes. 20,000 requests
 * in CI, 1,000,000 with TENANTRY_NIGHTLY=1. What is right is decided by an oracle that shares no code with the resolvers:
 * URL and Headers of WHATWG, and the list of what was issued.
 */
import fc from 'fast-check'
import { createSecretKey, generateKeyPairSync } from 'node:crypto'
import { isIP } from 'node:net'
import { posix } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TenantryError } from '../../src/core/errors.ts'
import { createAdmission } from '../../src/http/admission.ts'
import { apiKey } from '../../src/resolve/api-key.ts'
import { allMustAgree, firstOf } from '../../src/resolve/combine.ts'
import { cookie } from '../../src/resolve/cookie.ts'
import { header } from '../../src/resolve/header.ts'
import { jwt } from '../../src/resolve/jwt.ts'
import { pathPrefix } from '../../src/resolve/path-prefix.ts'
import type { Resolver } from '../../src/resolve/resolver.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { sampleTenancy, sampleTenant } from '../http/sample-tenancy.ts'
import { sampleKeys } from './sample-keys.ts'
import { AUDIENCE, claimsOf, ISSUER, part, sign } from './sample-tokens.ts'

const NIGHTLY = process.env['TENANTRY_NIGHTLY'] === '1'

const tenancy = sampleTenancy([
  sampleTenant('acme', 'active', ['acme-old']),
  sampleTenant('globex'),
  sampleTenant('sleepy', 'suspended'),
])
const SERVED = new Map([
  ['acme', 'acme'],
  ['acme-old', 'acme'],
  ['globex', 'globex'],
])
const PROXY = '10.1.2.3'
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const checks = { issuer: ISSUER, audience: AUDIENCE }

/** A request as an adapter hands it over. */
interface Wire {
  readonly target: string
  readonly rawHeaders: readonly string[]
  readonly remoteAddress: string | undefined
}

/** What a source of names says, to the oracle: nothing, an address of no tenant, something that is refused, or a key. */
type Verdict = 'absent' | 'closed' | 'refused' | { readonly key: string }

// ── The oracle ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Which tenant each issued text stands for; texts made from it by changing something stand for that one, or for none. */
const issued = new Map<string, string>()
/** `id-of-acme` to `acme`. */
const keyOfId = (id: string): string => id.replace('id-of-', '')

const linesOf = ({ rawHeaders }: Wire, name: string): string[] =>
  Array.from({ length: rawHeaders.length / 2 }, (_, pair) => rawHeaders.slice(2 * pair, 2 * pair + 2))
    .filter(([found]) => found?.toLowerCase() === name)
    .map(([, value]) => value ?? '')

/** As the catalog knows keys. */
const isKey = (text: string): boolean =>
  text.length <= 48 &&
  text
    .split('-')
    .every(
      (word) =>
        word !== '' && word.split('').every((c) => 'abcdefghijklmnopqrstuvwxyz0123456789'.includes(c)),
    )

function hostOracle(wire: Wire): Verdict {
  const hosts = linesOf(wire, 'host')
  if (hosts.length !== 1) return 'refused'
  const plainHost = (text: string): string | undefined => {
    // What a browser would put into Host, port aside: anything that URL has to repair is refused.
    const [, name = '', port = ''] = /^(.*?)(?::([0-9]{0,5}))?$/s.exec(text) ?? []
    if (text.startsWith('[')) return isIP(name.slice(1, -1)) === 6 && Number(port) < 65_536 ? '' : undefined
    if (/[^!-~]/.test(name)) return undefined
    const url = URL.parse(`http://${name}/`)
    if (url === null || Number(port) > 65_535 || url.host !== name.toLowerCase()) return undefined
    const labels = url.hostname.replace(/\.$/, '').split('.')
    return labels.every((label) => /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/.test(label) && label.length < 64)
      ? labels.join('.')
      : undefined
  }
  const own = plainHost(hosts[0] ?? '')
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(wire.target)?.[1]
  if (own === undefined || (absolute !== undefined && plainHost(absolute) !== own)) return 'refused'
  const forwarded = wire.remoteAddress === PROXY ? linesOf(wire, 'x-forwarded-host').at(-1) : undefined
  const name =
    forwarded === undefined ? own : plainHost(forwarded.slice(forwarded.lastIndexOf(',') + 1).trim())
  if (name === undefined) return 'refused'
  if (name === 'example.com' || name === '' || isIP(name) !== 0) return 'closed'
  const [key = '', ...rest] = name.split('.')
  if (rest.join('.') !== 'example.com') return 'closed'
  return isKey(key) ? { key } : 'refused'
}

function headerOracle(wire: Wire): Verdict {
  const values = linesOf(wire, 'x-tenant')
  if (values.length === 0) return 'absent'
  let all: string | null
  try {
    all = new Headers(values.map((value) => ['x-tenant', value])).get('x-tenant')
  } catch {
    return 'refused'
  }
  return values.length === 1 && all === values[0] && isKey(all ?? '') ? { key: all } : 'refused'
}

function cookieOracle(wire: Wire): Verdict {
  const jar = linesOf(wire, 'cookie').join(';')
  const found = [...jar.matchAll(/(?<=^|;)[\t ]*tenant[\t ]*=([^;]*)/g)].map(([, value = '']) =>
    value.replaceAll(/^[\t ]+|[\t ]+$/g, ''),
  )
  if (found.length === 0) return 'absent'
  const value = /^"[^]*"$/.test(found[0] ?? '') && found[0] !== '"' ? found[0]?.slice(1, -1) : found[0]
  return found.length === 1 && isKey(value ?? '') ? { key: value as string } : 'refused'
}

/** What programs on the way may take for the path: decoded or not, made shorter or not, with and without parameters. */
function pathsOf(target: string): (string | undefined)[] {
  const bare = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '')
  const decode = (text: string): string => text.replaceAll(/%[0-9a-f]{2}/gi, unescape)
  const seen = new Set<string>()
  let texts = [bare.split('?')[0] ?? '']
  for (let round = 0; round < 4; round += 1) {
    for (const text of texts) {
      for (const path of [text, text.replaceAll(/;[^/\\]*/g, '')]) {
        const slashes =
          path
            .replaceAll('\\', '/')
            .replaceAll(/[\0-\x20\x7f]/g, '')
            .split(/[?#]/)[0] ?? ''
        seen.add(posix.normalize(slashes))
        seen.add(URL.parse(`http://x${slashes.startsWith('/') ? '' : '/'}${slashes}`)?.pathname ?? '')
      }
    }
    texts = texts.map(decode)
  }
  return [...seen].map((path) => /^\/+t\/+([^/;]+)(?:\/|$)/i.exec(path)?.[1])
}

function pathOracle({ target }: Wire): Verdict {
  const names = new Set(pathsOf(target))
  const [name] = names
  if (names.size > 1) return 'refused'
  if (name === undefined) return 'absent'
  const plain = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').startsWith(`/t/${name}`)
  return plain && isKey(name) ? { key: name } : 'refused'
}

/** The last letter of a signature has bits that mean nothing: some spellings of it are one signature. */
const canonical = (token: string): string =>
  token.replace(/(?<=^[^.]*\.[^.]*\.).*/, (text) => Buffer.from(text, 'base64url').toString('base64url'))

function authorizationOracle(isMine: (token: string) => boolean) {
  return (wire: Wire): Verdict => {
    const lines = linesOf(wire, 'authorization')
    if (lines.length === 0) return 'absent'
    if (lines.length > 1) return 'refused'
    const [scheme = '', token = '', ...others] = (lines[0] ?? '').split(' ').filter((word) => word !== '')
    const starts = /^bearer /i.test(lines[0] ?? '')
    if (!starts || scheme.toLowerCase() !== 'bearer' || others.length > 0 || !isMine(token)) return 'absent'
    const tenant = issued.get(canonical(token))
    return tenant === undefined ? 'refused' : { key: tenant }
  }
}
const isToken = (text: string): boolean => {
  const parts = text.split('.')
  return (
    parts.length === 3 &&
    parts.every((each, at) => (at === 2 || each !== '') && /^[A-Za-z0-9_-]*$/.test(each))
  )
}
const tokenOracle = authorizationOracle(isToken)
const apiKeyOracle = authorizationOracle((text) => text.startsWith('tny_'))

type Oracle = (wire: Wire) => Verdict
const firstSays =
  (...oracles: Oracle[]): Oracle =>
  (wire) =>
    oracles.map((oracle) => oracle(wire)).find((verdict) => verdict !== 'absent' && verdict !== 'closed') ??
    'absent'
const allSay =
  (...oracles: Oracle[]): Oracle =>
  (wire) => {
    const verdicts = oracles.map((oracle) => oracle(wire)).filter((verdict) => verdict !== 'absent')
    if (verdicts.some((verdict) => typeof verdict === 'string')) return 'refused'
    const served = new Set(verdicts.map((verdict) => SERVED.get((verdict as { key: string }).key)))
    return verdicts.length === 0 ? 'absent' : served.size === 1 ? (verdicts[0] as Verdict) : 'refused'
  }

// ── The requests ──────────────────────────────────────────────────────────────────────────────────────────────────────

const PIECES = [
  'acme',
  'globex',
  'acme-old',
  'sleepy',
  'nobody',
  'ACME',
  'none',
  '.example.com',
  'example.com',
  '.',
  ':',
  ':80',
  ':99999',
  '@',
  ',',
  ' ',
  '\t',
  '[::1]',
  '127.0.0.1',
  '%61',
  '%',
  '-',
  '"',
  "'",
  ';',
  '=',
  '\\',
  '/',
  '#',
  '?',
  'é',
  '\0',
  '\n',
  '\u212a',
  'xn--e1a',
  '__proto__',
  'constructor',
  'id-of-acme',
]
const junk = fc.oneof(
  fc.array(fc.constantFrom(...PIECES), { maxLength: 5 }).map((pieces) => pieces.join('')),
  fc.string({ maxLength: 6, unit: 'binary' }),
)
const name = fc.constantFrom('acme', 'globex', 'acme-old', 'sleepy', 'nobody')
const rarely = <T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 3, arbitrary: usual }, { weight: 1, arbitrary: odd })

const host = rarely(
  fc.tuple(name, fc.constantFrom('', '.', ':80', '.:443')).map(([key, end]) => `${key}.example.com${end}`),
  fc.oneof(
    junk,
    junk.map((text) => `${text}.example.com`),
    fc.constantFrom('example.com', 'a.b.example.com', 'acme.example.org', 'ACME.Example.Com'),
  ),
)
const segment = fc.constantFrom(
  '/',
  '/',
  '/',
  '//',
  '\\',
  't',
  't',
  'T',
  'acme',
  'globex',
  '..',
  '.',
  '%2e',
  '%2E%2e',
  '%2f',
  '%5c',
  '%252e',
  '%25',
  '%74',
  '%61cme',
  ';x',
  '..;',
  '#',
  '?',
  'x',
  'orders',
  '\t',
  '%00',
  '%3f',
  'signup',
  '*',
)
const path = rarely(
  fc
    .tuple(name, fc.constantFrom('', '/', '/orders', '/orders?x=/t/globex', '?x', '/a%20b/'))
    .map(([key, rest]) => `/t/${key}${rest}`),
  fc.oneof(
    fc.array(segment, { maxLength: 9 }).map((parts) => parts.join('')),
    fc.array(segment, { maxLength: 6 }).map((parts) => `/t/acme/${parts.join('')}`),
    fc.array(segment, { maxLength: 6 }).map((parts) => `/${parts.join('')}`),
    junk.map((text) => `/t/${text}`),
  ),
)
const target = fc.oneof(
  { weight: 4, arbitrary: path },
  { weight: 1, arbitrary: fc.tuple(host, path).map(([authority, rest]) => `http://${authority}${rest}`) },
)
const pair = rarely(
  name.map((key) => `tenant=${key}`),
  fc.oneof(
    fc.tuple(junk, junk).map(([left, right]) => `${left}=${right}`),
    junk.map((text) => `tenant=${text}`),
    junk.map((text) => `tenant="${text}"`),
    fc.constantFrom('Tenant=acme', ' tenant = "acme" ', 'tenant', 'a=b', 'tenants=globex'),
  ),
)
const cookies = fc.array(pair, { minLength: 1, maxLength: 3 }).map((pairs) => pairs.join('; '))

/** Filled before anything is drawn. */
const texts: string[] = []
const token = fc.oneof(
  { weight: 3, arbitrary: fc.nat().map((index) => texts[index % texts.length] ?? '') },
  // One that was issued, with a piece changed: never another tenant's.
  fc
    .tuple(fc.nat(), fc.nat(), fc.constantFrom('', 'A', '.', '_', '=', ' ', 'é'))
    .map(([index, at, piece]) => {
      const text = texts[index % texts.length] ?? ''
      return `${text.slice(0, at % text.length)}${piece}${text.slice((at % text.length) + 1)}`
    }),
  junk,
)
const authorization = fc
  .tuple(
    rarely(
      fc.constant('Bearer '),
      fc.constantFrom('bearer  ', 'BEARER ', 'Bearer', 'Basic ', '', '\tBearer ', 'Bearer\t'),
    ),
    token,
  )
  .map((words) => words.join(''))

const line = (lineName: fc.Arbitrary<string>, value: fc.Arbitrary<string>): fc.Arbitrary<string[]> =>
  fc.tuple(lineName, value)
const lines = (one: fc.Arbitrary<string[]>): fc.Arbitrary<string[][]> =>
  fc.oneof(
    { weight: 2, arbitrary: fc.constant<string[][]>([]) },
    { weight: 6, arbitrary: one.map((each) => [each]) },
    { weight: 1, arbitrary: fc.array(one, { maxLength: 3 }) },
  )
const wires: fc.Arbitrary<Wire> = fc.record({
  target,
  rawHeaders: fc
    .tuple(
      rarely(
        line(fc.constantFrom('Host', 'host'), host).map((each) => [each]),
        fc.array(line(fc.constant('HOST'), host), { maxLength: 2 }),
      ),
      lines(line(fc.constantFrom('x-tenant', 'X-Tenant', 'X-Tenants'), rarely(name, junk))),
      lines(line(fc.constant('Cookie'), cookies)),
      lines(line(fc.constantFrom('authorization', 'Authorization'), authorization)),
      lines(
        line(
          fc.constant('X-Forwarded-Host'),
          fc.oneof(
            host,
            fc.tuple(host, host).map((both) => both.join(', ')),
          ),
        ),
      ),
    )
    .map((groups) => groups.flat(2)),
  remoteAddress: fc.constantFrom(PROXY, '203.0.113.9', undefined, '::ffff:203.0.113.9', 'nonsense'),
})

// ── The ways to name a tenant ─────────────────────────────────────────────────────────────────────────────────────────

const keys = sampleKeys()
const byHost = subdomain({ root: 'example.com' })
const byPath = pathPrefix({ prefix: '/t' })
const byToken = jwt({ key: ec.publicKey, ...checks })
const byKey = apiKey({ apiKeys: keys })
const WAYS: readonly { readonly way: string; readonly resolve: Resolver; readonly oracle: Oracle }[] = [
  { way: 'subdomain', resolve: byHost, oracle: hostOracle },
  { way: 'header', resolve: header('x-tenant'), oracle: headerOracle },
  { way: 'cookie', resolve: cookie('tenant'), oracle: cookieOracle },
  { way: 'path', resolve: byPath, oracle: pathOracle },
  { way: 'jwt', resolve: byToken, oracle: tokenOracle },
  { way: 'API key', resolve: byKey, oracle: apiKeyOracle },
  {
    way: 'host and token',
    resolve: allMustAgree(byHost, firstOf(byKey, byToken)),
    oracle: allSay(hostOracle, firstSays(apiKeyOracle, tokenOracle)),
  },
  { way: 'host and path', resolve: allMustAgree(byHost, byPath), oracle: allSay(hostOracle, pathOracle) },
  {
    way: 'path, header, cookie or host',
    resolve: firstOf(byPath, header('x-tenant'), cookie('tenant'), byHost),
    oracle: firstSays(pathOracle, headerOracle, cookieOracle, hostOracle),
  },
  {
    way: 'all of them',
    resolve: allMustAgree(byHost, byPath, header('x-tenant'), cookie('tenant'), firstOf(byKey, byToken)),
    oracle: allSay(hostOracle, pathOracle, headerOracle, cookieOracle, firstSays(apiKeyOracle, tokenOracle)),
  },
]

beforeAll(async () => {
  for (const tenant of ['acme', 'globex', 'sleepy', 'nobody']) {
    const id = `id-of-${tenant}`
    const secret = keys.issue(id)
    const signed = await sign(claimsOf(id, { exp: 9_999_999_999 }), ec.privateKey, { alg: 'ES256' })
    for (const text of [secret, signed]) issued.set(text, keyOfId(id)).get(text)
    const [, body = '', signature = ''] = signed.split('.')
    texts.push(
      ...Array.from({ length: 4 }, () => [secret, signed]).flat(),
      `${part({ alg: 'none' })}.${body}.`,
      `${part({ alg: 'HS256' })}.${body}.${signature}`,
      await sign(claimsOf(id), createSecretKey(Buffer.alloc(32, 1)), { alg: 'HS256' }),
      await sign(claimsOf(id, { exp: 1 }), ec.privateKey, { alg: 'ES256' }),
    )
  }
})

const report: string[] = []
afterAll(() => console.log(`hostile requests: ${report.join('; ')}`))

/** Where a path has anything odd, refusing more than the oracle does is right as well. */
const mayBeRefused = (wire: Wire): boolean =>
  /[%\\;#\0-\x20\x7f]|\/\/|\/\.|[^\0-\x7f]/.test(wire.target) || /\/t\/.*\/t\//i.test(wire.target)

describe.each(WAYS)('by $way', ({ way, resolve, oracle }) => {
  const admit = createAdmission(tenancy, {
    resolve,
    except: ['/x'],
    central: ['/signup'],
    trustedProxies: [PROXY],
  })

  test(
    'I1, I2, I3, I4, I7: of any request, the tenant that it names is served or nobody is, and nothing crashes',
    async () => {
      const count = { served: 0, refused: 0, without: 0 }
      const wrong = async (wire: Wire): Promise<string | undefined> => {
        const verdict = oracle(wire)
        const right = typeof verdict === 'string' ? undefined : SERVED.get(verdict.key)
        let tenant
        try {
          tenant = await admit({ raw: {}, ...wire })
        } catch (error) {
          count.refused += 1
          if (!(error instanceof TenantryError) || error.status < 400 || error.status > 499)
            return `threw ${String(error)}`
          const routed = resolve.rewrite?.(wire.target) ?? wire.target
          const isRule = [wire.target, routed].some((text) => /signup|\/x/i.test(unescape(text)))
          return right === undefined || isRule || mayBeRefused(wire)
            ? undefined
            : `refused ${right}: ${error.code}`
        }
        if (tenant === undefined) {
          count.without += 1
          return /^(https?:\/\/[^/?#]*)?\/(x|signup)\/?(\?|$)/i.test(wire.target)
            ? undefined
            : 'served without a tenant'
        }
        count.served += 1
        if (tenant.key !== right) return `served ${tenant.key}, not ${right ?? 'nobody'}`
        if (resolve.rewrite === undefined) return undefined
        // Routers see a path of this tenant that names no tenant any more, on no other host.
        const routed = resolve.rewrite(wire.target)
        const isLocal =
          URL.parse(routed, 'http://here.example')?.host === 'here.example' || routed.startsWith('http')
        return routed === wire.target ||
          (isLocal && pathsOf(routed).every((found) => !isKey(found?.toLowerCase() ?? '')))
          ? undefined
          : `routed ${routed}`
      }
      await fc.assert(
        fc.asyncProperty(wires, async (wire) => {
          const fault = await wrong(wire)
          if (fault !== undefined) throw new Error(fault)
        }),
        { numRuns: NIGHTLY ? 100_000 : 2_000 },
      )
      report.push(
        `${way}: ${count.served} served, ${count.refused} refused, ${count.without} without a tenant`,
      )
      expect(count.served).toBeGreaterThan(10)
      expect(count.refused).toBeGreaterThan(50)
    },
    NIGHTLY ? 1_800_000 : 60_000,
  )
})
