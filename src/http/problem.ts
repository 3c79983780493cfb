/** What strangers are told about an error: RFC 9457 problem details, and nothing that is for operators. */
import { STATUS_CODES } from 'node:http'
import { TenantryError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'

/** An answer, ready to be written by any framework. */
export interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** JSON text. */
  readonly body: string
}

/** Codes whose message was written for whoever sent the request. The others speak to operators. */
const FOR_CLIENTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'TNY101',
  'TNY102',
  'TNY103',
  'TNY104',
  'TNY105',
  'TNY106',
  'TNY113',
  'TNY114',
  'TNY115',
  'TNY301',
  'TNY308',
])

/** What to log in with, and why it failed (RFC 6750, section 3). */
const CHALLENGES: Readonly<Partial<Record<ErrorCode, string>>> = {
  TNY113: 'Bearer error="invalid_token"',
  TNY114: 'Bearer',
  TNY115: 'Bearer error="insufficient_scope"',
}

/** Errors are wrapped by ORMs; deeper than this lies nothing that we raised. */
const MAX_CAUSES = 5

/**
 * The answer to an error. Tenantry's own errors bring their status and code; `http-errors` (those of Express and
 * its body parsers) their status, and their message where it is marked `expose`; all else is a bare 500.
 */
export function problemOf(error: unknown): Problem {
  if (error instanceof TenantryError) return tenantryProblem(error)
  const status = httpStatus(error)
  if (status !== undefined) return problem(status, exposed(error, status), httpHeaders(error))
  const cause = tenantryCause(error)
  // A database that is away stays a 503 when an ORM has wrapped the error.
  return cause?.status === 503 ? tenantryProblem(cause) : problem(500)
}

function tenantryProblem(error: TenantryError): Problem {
  const forClients = FOR_CLIENTS.has(error.code)
  const coded = forClients || error.status < 500
  const members = {
    ...(coded && { type: `urn:tenantry:${error.code}`, code: error.code }),
    ...(forClients && { detail: error.message }),
  }
  const challenge = CHALLENGES[error.code]
  return problem(error.status, members, {
    ...(challenge !== undefined && { 'www-authenticate': challenge }),
    ...(error.retryAfter !== undefined && { 'retry-after': String(Math.ceil(error.retryAfter)) }),
    ...(error.code === 'TNY106' && { connection: 'close' }),
  })
}

/** Answers are the same for all, and none may outlive its cause in a cache: a tenant may be created a second later. */
function problem(
  status: number,
  members: object = {},
  headers: Readonly<Record<string, string>> = {},
): Problem {
  const body = JSON.stringify({ title: STATUS_CODES[status] ?? 'Error', status, ...members })
  return {
    status,
    headers: {
      ...headers,
      'content-type': 'application/problem+json',
      'content-length': String(Buffer.byteLength(body)),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    },
    body,
  }
}

function property(error: unknown, name: string): unknown {
  return typeof error === 'object' && error !== null ? (error as Record<string, unknown>)[name] : undefined
}

function httpStatus(error: unknown): number | undefined {
  const status = property(error, 'status') ?? property(error, 'statusCode')
  return Number.isInteger(status) && (status as number) >= 400 && (status as number) < 600
    ? (status as number)
    : undefined
}

function exposed(error: unknown, status: number): object {
  const message = property(error, 'message')
  const isMeant = property(error, 'expose') === true && status < 500 && typeof message === 'string'
  return isMeant ? { detail: message.slice(0, 200) } : {}
}

/**
 * Headers that belong to a status (RFC 9110), and those of limiters. No others: errors of clients of other services carry
 * all headers of these services' answers, cookies and the form of their bodies included.
 */
const OF_STATUS =
  /^(accept|allow|content-range|retry-after|upgrade|vary|www-authenticate|(x-)?ratelimit(-[a-z]+)?)$/

/** `http-errors` may carry some. */
function httpHeaders(error: unknown): Record<string, string> {
  const headers = property(error, 'headers')
  if (typeof headers !== 'object' || headers === null) return {}
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([, value]) => typeof value === 'string' || typeof value === 'number')
      .map(([name, value]) => [name.toLowerCase(), String(value)] as const)
      .filter(([name]) => OF_STATUS.test(name)),
  )
}

/** The first of our own among an error and its causes: ORMs wrap what they get. */
export function tenantryCause(error: unknown): TenantryError | undefined {
  let cause = error
  for (let depth = 0; depth <= MAX_CAUSES && cause !== undefined; depth += 1) {
    if (cause instanceof TenantryError) return cause
    cause = property(cause, 'cause')
  }
  return undefined
}
