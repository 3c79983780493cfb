/** The contract: what a request learns of a client that leaves before its answer. */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { TenantryError } from '../../../src/core/errors.ts'
import { waitFor } from '../../support/wait-for.ts'
import type { Stand } from './stand.ts'

export function describeLeaving(on: Stand): void {
  describe('the client leaves', () => {
    async function leave(host: string, path: string, until: () => boolean): Promise<void> {
      const client = request({ port: on.port, host: '127.0.0.1', path, headers: { host }, agent: false })
      client.on('error', () => undefined).end()
      await waitFor(until)
      client.destroy()
    }

    test('with abortOnDisconnect the context has a signal that tells; nothing is reported', async () => {
      await on.start({ options: { abortOnDisconnect: true } })
      await leave('acme.localhost', '/hang', () => on.seen.hanging === 1)
      await waitFor(() => on.seen.aborted.length === 1)
      expect(on.seen.aborted[0]).toMatchObject({ code: 'TNY107' })
      expect(await on.keyOf('acme.localhost')).toBe('acme')
      expect(on.reported).toEqual([])
    })

    test('after an answer nothing is aborted, also where the connection is kept alive', async () => {
      await on.start({ options: { abortOnDisconnect: true } })
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      for (let turn = 0; turn < 3; turn += 1) await throughAgent(agent, on.port, 'acme.localhost', '/signal')
      agent.destroy()
      await sleep(20)
      expect(on.seen.signals.map((signal) => signal?.aborted)).toEqual([false, false, false])
    })

    test('it no longer waits for a move then', async () => {
      await on.start({ options: { abortOnDisconnect: true }, moves: { timeoutMs: 10_000, maxPerTenant: 1 } })
      await leave('nomad.localhost', '/me', () => on.tenancy.asked.length >= 2)
      // Its place is free: the next one waits, where it would be refused behind too many.
      await waitFor(async () => {
        const answer = on.keyOf('nomad.localhost')
        const early = await Promise.race([answer, sleep(50).then(() => 'waits')])
        if (early === 503) return false
        on.tenancy.change('nomad', 'active')
        return (await answer) === 'nomad'
      })
      expect(on.reported.every((error) => (error as TenantryError).code === 'TNY108')).toBe(true)
    })
  })
}

async function throughAgent(agent: Agent, port: number, host: string, path = '/me'): Promise<void> {
  return new Promise((resolve, reject) => {
    const req = request({ port, host: '127.0.0.1', path, agent, headers: { host } })
    req.on('error', reject).on('response', (res) => res.resume().on('end', resolve))
    req.end()
  })
}
