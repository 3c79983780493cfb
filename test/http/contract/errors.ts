/** The contract: what strangers and operators are told of errors. */
import { describe, expect, test } from 'vitest'
import { exchange, get } from '../raw-http.ts'
import type { Stand } from './stand.ts'

export function describeErrors(on: Stand): void {
  describe('errors', () => {
    test('are neutral, and the operator hears of them', async () => {
      const { status, headers, text } = await get(on.port, 'acme.localhost', '/fails')
      expect([status, headers['content-type']]).toEqual([500, 'application/problem+json'])
      expect(text).toBe('{"title":"Internal Server Error","status":500}')
      expect(on.reported).toEqual([expect.objectContaining({ message: 'the secret of globex' })])
    })

    test('P7: the database away is a 503 with Retry-After', async () => {
      const { status, headers, text } = await get(on.port, 'acme.localhost', '/away')
      expect([status, headers['retry-after'], text]).toEqual([
        503,
        '1',
        '{"title":"Service Unavailable","status":503}',
      ])
      expect(on.reported).toHaveLength(1)
    })

    test('of the client say what is wrong', async () => {
      const { status, text } = await get(on.port, 'acme.localhost', '/taken')
      expect([status, JSON.parse(text)]).toMatchObject([
        409,
        { code: 'TNY301', detail: 'The key "acme" is taken.' },
      ])
      const missing = await get(on.port, 'acme.localhost', '/no-such-route')
      expect(JSON.parse(missing.text)).toMatchObject({ title: 'Not Found', status: 404 })
      expect(missing.headers['content-type']).toBe('application/problem+json')
      expect(on.reported).toEqual([])
    })

    test('an answer that has begun is cut, never completed, and tells nothing', async () => {
      const received = await exchange(
        on.port,
        'GET /half HTTP/1.1\r\nHost: acme.localhost\r\nConnection: close\r\n\r\n',
      )
      expect(received).toContain('half')
      expect(received).not.toMatch(/\r\n0\r\n\r\n$/)
      expect(received).not.toContain('secret')
      expect(await on.keyOf('globex.localhost')).toBe('globex')
    })
  })
}
