import { describe, expect, test } from 'vitest'
import { ERRORS, TenantryError } from '../../src/core/errors.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import { problemOf } from '../../src/http/problem.ts'

/** Values that an operator may read and a stranger may not. */
const SECRET = 'globex-secret'
const params = Object.fromEntries(
  Array.from(JSON.stringify(ERRORS).matchAll(/\{(\w+)\}/g), (match) => [match[1] as string, SECRET]),
)

describe('problemOf', () => {
  const forClients = 'TNY101 TNY102 TNY103 TNY104 TNY105 TNY106 TNY113 TNY114 TNY115 TNY301 TNY308'.split(' ')
  const others = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => !forClients.includes(code))

  test.each(others)('I3: %s tells strangers its status and nothing else', (code) => {
    const { status, body } = problemOf(new TenantryError(code, { params, cause: new Error(SECRET) }))
    expect(status).toBe(ERRORS[code].status)
    expect(body).not.toContain(SECRET)
    expect(body).not.toContain('detail')
    expect(status < 500 || !body.includes('TNY')).toBe(true)
  })

  test('its own refusals are explained', () => {
    const { status, headers, body } = problemOf(
      new TenantryError('TNY103', { params: { status: 'suspended', why: '' } }),
    )
    expect(status).toBe(403)
    expect(headers['content-type']).toBe('application/problem+json')
    expect(headers['cache-control']).toBe('no-store')
    expect(JSON.parse(body)).toEqual({
      type: 'urn:tenantry:TNY103',
      title: 'Forbidden',
      status: 403,
      code: 'TNY103',
      detail: 'This account is suspended.',
    })
  })

  test.each(['TNY202', 'TNY203', 'TNY211', 'TNY212'] as const)(
    'P7: %s is a 503 that says when to try again',
    (code) => {
      const error = new TenantryError(code, { params })
      expect(problemOf(error)).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
      // Drizzle and others wrap what the driver threw.
      const wrapped = new Error('Failed query: select', { cause: new Error('inner', { cause: error }) })
      expect(problemOf(wrapped)).toEqual(problemOf(error))
    },
  )

  test('a refusal in a cause is not an answer', () => {
    const error = new Error('my own', { cause: new TenantryError('TNY302', { params }) })
    expect(problemOf(error)).toEqual(problemOf(new Error('anything')))
    const circular: { cause?: unknown } = {}
    circular.cause = circular
    expect(problemOf(circular).status).toBe(500)
  })

  test('http-errors keep status and headers, and their message where it is marked', () => {
    const open = Object.assign(new Error('Unexpected token'), { status: 400, expose: true })
    expect(JSON.parse(problemOf(open).body)).toEqual({
      title: 'Bad Request',
      status: 400,
      detail: 'Unexpected token',
    })
    const shut = Object.assign(new Error(SECRET), { statusCode: 404 })
    expect(JSON.parse(problemOf(shut).body)).toEqual({ title: 'Not Found', status: 404 })
    const server = Object.assign(new Error(SECRET), { status: 502, expose: true })
    expect(problemOf(server).body).not.toContain(SECRET)
    const limited = Object.assign(new Error('slow down'), {
      status: 429,
      headers: { 'Retry-After': 7, bad: [] },
    })
    expect(problemOf(limited).headers).toMatchObject({ 'retry-after': '7' })
  })

  test('V2: headers of another service, as errors of its client carry them, reach nobody', () => {
    // Clients of HTTP APIs put the whole answer into the error.
    const headers = {
      'set-cookie': SECRET,
      'transfer-encoding': 'chunked',
      'content-encoding': 'br',
      'x-organization': SECRET,
      'retry-after': '7',
      'x-ratelimit-remaining': '0',
    }
    const answer = problemOf(Object.assign(new Error(SECRET), { status: 429, headers })).headers
    expect(Object.keys(answer).toSorted()).toEqual([
      'cache-control',
      'content-length',
      'content-type',
      'retry-after',
      'x-content-type-options',
      'x-ratelimit-remaining',
    ])
  })

  test.each([
    [undefined],
    [null],
    ['text'],
    [42],
    [{}],
    [{ status: 200 }],
    [{ status: '404' }],
    [{ status: 99.5 }],
  ])('whatever else was thrown (%j) is a bare 500', (thrown) => {
    expect(JSON.parse(problemOf(thrown).body)).toEqual({ title: 'Internal Server Error', status: 500 })
  })
})
