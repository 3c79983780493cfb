/** What it costs to find out whose a request is: each resolver with admission and look-up, among 100,000 tenants. */
import { generateKeyPairSync } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SignJWT } from 'jose'
import {
  allMustAgree,
  apiKey,
  cookie,
  createTenancy,
  customDomain,
  firstOf,
  header,
  jwt,
  pathPrefix,
  type Resolver,
  subdomain,
  type Tenancy,
  TenantryError,
} from 'tenantry'
import { createAdmission } from '../src/http/admission.ts'
import type { Bench } from './bench.ts'
import { type CatalogTenant, makeCatalogTenants } from './support/catalog-tenants.ts'
import { runClosedLoop } from './support/closed-loop.ts'
import { say } from './support/report.ts'
import { takeTurns } from './support/rounds.ts'
import { median, rounded } from './support/statistics.ts'

const TENANTS = 100_000
/** In use, and so in memory: half of what a process remembers by default. */
const WARM = 5_000
const CALLS = 20_000
const CONCURRENCY = 32

/** What a browser sends beside the lines that name the tenant. */
const BROWSER = Object.entries({
  Connection: 'keep-alive',
  'sec-ch-ua': '"Chromium";v="140", "Not=A?Brand";v="24"',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"Linux"',
  'Upgrade-Insecure-Requests': '1',
  'User-Agent':
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36',
  Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8',
  'Sec-Fetch-Site': 'same-origin',
  'Sec-Fetch-Mode': 'navigate',
  'Accept-Encoding': 'gzip, deflate, br, zstd',
  'Accept-Language': 'en-GB,en;q=0.9',
}).flat()

interface Request {
  readonly target: string
  readonly rawHeaders: readonly string[]
}

interface Case {
  readonly name: string
  readonly resolve: () => Resolver
  /** One for each warm tenant. */
  readonly requests: readonly Request[]
  /** Whether each round begins with a resolver that has seen no token. */
  readonly unseen?: boolean
}

/** `npm run -s bench -- resolve`. */
export const resolve: Bench = async (world, { quick, only }) => {
  say(`making ${TENANTS} tenants in the catalog`)
  const catalog = await makeCatalogTenants(world, TENANTS, WARM)
  const tenancy = createTenancy({ connection: catalog.appUrl })
  try {
    const all = await makeCases(tenancy, catalog.tenants.slice(0, WARM))
    const cases = all.filter(({ name }) => only?.includes(name) ?? true)
    const measured = await takeTurns(
      cases.map((each) => ({ ...each, admit: admitter(tenancy, each.resolve()) })),
      quick ? 7 : 31,
      ({ admit, requests, resolve: fresh, unseen }, round) =>
        unseen === true
          ? timed(admitter(tenancy, fresh()), requests, WARM / 5)
          : timed(admit, requests, round === 0 ? WARM : CALLS),
    )
    // The first round met everything for the first time.
    const figures = cases.map(
      ({ name }) => [name, rounded(median((measured.get(name) ?? []).slice(1)), 2)] as const,
    )
    const flood = await floodOf(tenancy, quick ? 50_000 : 1_000_000)
    return {
      table: [['a request named by', 'µs'], ...figures],
      figures: { catalog: TENANTS, warm: WARM, us: Object.fromEntries(figures), flood },
      ratio: {},
    }
  } finally {
    await tenancy.close()
    await catalog.close()
  }
}

type Admit = (request: Request) => Promise<{ readonly id: string } | undefined>

function admitter(tenancy: Tenancy, resolver: Resolver): Admit {
  const admit = createAdmission(tenancy, { resolve: resolver, except: ['/healthz'], central: ['/signup'] })
  return ({ target, rawHeaders }) => admit({ raw: {}, target, rawHeaders, remoteAddress: '203.0.113.9' })
}

/** Processor time of this process, threads that check signatures included: whoever else is on the machine does not count. */
async function timed(admit: Admit, requests: readonly Request[], calls: number): Promise<number> {
  const before = process.cpuUsage()
  for (let number = 0; number < calls; number += 1) {
    const tenant = await admit(requests[number % requests.length] as Request)
    if (tenant === undefined) throw new Error('a request was admitted for no tenant')
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / calls
}

async function makeCases(tenancy: Tenancy, tenants: readonly CatalogTenant[]): Promise<Case[]> {
  const checks = { issuer: 'https://id.example.com/', audience: 'orders' }
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const tokens = await Promise.all(
    tenants.map(({ id }) =>
      new SignJWT({ tenant: id, sub: 'ann', scope: 'orders:read orders:write' })
        .setProtectedHeader({ alg: 'ES256' })
        .setIssuer(checks.issuer)
        .setAudience(checks.audience)
        .setExpirationTime('2h')
        .sign(privateKey),
    ),
  )
  const root = 'example.com'
  const requests = (lines: (tenant: CatalogTenant, index: number) => string[]): Request[] =>
    tenants.map((tenant, index) => ({
      target: '/orders?page=2',
      rawHeaders: [...lines(tenant, index), ...BROWSER],
    }))
  const host = ({ key }: CatalogTenant): string[] => ['Host', `${key}.${root}`]
  const bearer = (index: number): string[] => ['Host', root, 'Authorization', `Bearer ${tokens[index]}`]
  const byToken = (): Resolver => jwt({ key: publicKey, ...checks })
  return [
    { name: 'subdomain', resolve: () => subdomain({ root }), requests: requests(host) },
    {
      name: 'header',
      resolve: () => header('x-tenant'),
      requests: requests(({ key }) => ['Host', root, 'X-Tenant', key]),
    },
    {
      name: 'path',
      resolve: () => pathPrefix({ prefix: '/t' }),
      requests: tenants.map(({ key }) => ({
        target: `/t/${key}/orders?page=2`,
        rawHeaders: ['Host', root, ...BROWSER],
      })),
    },
    {
      name: 'cookie',
      resolve: () => cookie('tenant'),
      requests: requests(({ key }) => [
        'Host',
        root,
        'Cookie',
        `theme=dark; tenant=${key}; session=0b5e3c7a91d24f68`,
      ]),
    },
    { name: 'jwt', resolve: byToken, requests: requests((_, index) => bearer(index)) },
    { name: 'jwt_unseen', resolve: byToken, requests: requests((_, index) => bearer(index)), unseen: true },
    {
      name: 'api_key',
      resolve: () => apiKey(tenancy),
      requests: requests(({ apiKey: secret = '' }) => ['Host', root, 'Authorization', `Bearer ${secret}`]),
    },
    {
      name: 'domain',
      resolve: () => firstOf(subdomain({ root }), customDomain()),
      requests: requests(({ domain }) => ['Host', domain]),
    },
    {
      name: 'subdomain_and_jwt',
      resolve: () => allMustAgree(subdomain({ root }), byToken()),
      requests: requests((tenant, index) => [...host(tenant), ...bearer(index).slice(2)]),
    },
  ]
}

/** Names that no tenant has, as somebody would try them who looks for tenants: memory must not grow with them. */
async function floodOf(tenancy: Tenancy, names: number) {
  const admit = admitter(tenancy, subdomain({ root: 'example.com' }))
  let number = 0
  const one = async (): Promise<void> => {
    number += 1
    const request = { target: '/', rawHeaders: ['Host', `nobody-${number}.example.com`, ...BROWSER] }
    const refusal = await admit(request).catch((error: unknown) => error)
    if (!(refusal instanceof TenantryError && refusal.code === 'TNY101')) throw new Error('nobody was served')
  }
  const run = (tasks: number) =>
    runClosedLoop({ concurrency: CONCURRENCY, ms: Number.POSITIVE_INFINITY, tasks }, one)
  // Until the memory for names is full.
  await run(20_000)
  const before = heapMb()
  const { perSecond, failed } = await run(names)
  const grown = heapMb() - before
  say(`${names} unknown names: ${rounded(perSecond)}/s, the heap grew by ${rounded(grown, 1)} MB`)
  if (failed > 0) throw new Error(`${failed} unknown names were not refused as they should`)
  return { names, per_second: rounded(perSecond), heap_mb: rounded(before, 1), grown_mb: rounded(grown, 1) }
}

function heapMb(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed / 2 ** 20
}
