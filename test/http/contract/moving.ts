/** The contract: requests of a tenant that is being moved wait, bounded, and tell strangers nothing. */
import { describe, expect, test } from 'vitest'
import type { TenantryError } from '../../../src/core/errors.ts'
import { waitFor } from '../../support/wait-for.ts'
import { get } from '../raw-http.ts'
import type { Stand } from './stand.ts'

export function describeMoving(on: Stand): void {
  describe('a tenant that is being moved', () => {
    test('is waited for: a slow request and no error', async () => {
      const answers = [on.keyOf('nomad.localhost'), on.keyOf('nomad.localhost'), on.keyOf('acme.localhost')]
      expect(await answers[2]).toBe('acme')
      await waitFor(() => on.tenancy.asked.length >= 5)
      on.tenancy.change('nomad', 'active')
      expect(await Promise.all(answers)).toEqual(['nomad', 'nomad', 'acme'])
      expect(on.reported).toEqual([])
    })

    test('I3: what it is after the move decides', async () => {
      const answer = on.comparable('nomad.localhost')
      await waitFor(() => on.tenancy.asked.length >= 3)
      on.tenancy.change('nomad', 'suspended')
      expect(await answer).toEqual(await on.comparable('nobody.localhost'))
    })

    test('I3: past the deadline, or behind too many, it looks like a service that is busy', async () => {
      await on.start({ moves: { timeoutMs: 50, maxPerTenant: 1 } })
      const [one, other] = await Promise.all([
        on.comparable('nomad.localhost'),
        on.comparable('nomad.localhost'),
      ])
      expect(one).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
      expect(other).toEqual(one)
      expect(await on.comparable('acme.localhost', '/away')).toEqual(one)
      expect(on.reported.map((error) => (error as TenantryError).code)).toEqual([
        'TNY108',
        'TNY108',
        'TNY202',
      ])
    })

    test('ends the wait where the service closes', async () => {
      const answer = get(on.port, 'nomad.localhost', '/me')
      await waitFor(() => on.tenancy.asked.length >= 3)
      on.tenancy.close()
      expect(JSON.parse((await answer).text)).toMatchObject({ status: 503, code: 'TNY106' })
    })
  })
}
