/** A gateway that is none: one plain connection for all tenants, with a guard of one's choice. The unsafe control. */
import pg from 'pg'
import type { Tenant } from '../../src/core/tenant.ts'
import { searchPathOf } from '../../src/gateway/binding.ts'
import type { ProofClient, ProofPool, ProofTenancy } from '../../src/prove/ways.ts'

/** Throws where a tenant may not run it. */
export type Check = (text: string) => void

/** Each statement in a transaction of its own with its tenant's context; nothing is cleaned up after it. */
export function openPlainGateway(
  url: string,
  check: Check,
  proofOf: (id: string) => Promise<string>,
): ProofTenancy {
  const client = new pg.Client(url)
  // Its statements say so too.
  client.on('error', () => undefined)
  const connected = client.connect()
  let last: Promise<unknown> = connected
  /** One at a time, as there is but one connection. */
  function inTurn<T>(fn: () => Promise<T>): Promise<T> {
    const turn = last.catch(() => undefined).then(fn)
    last = turn
    return turn
  }
  async function enter({ id, home }: Tenant): Promise<void> {
    await client.query('begin')
    const settings = [home.role, searchPathOf(home), id, await proofOf(id)]
    const names = ['role', 'search_path', 'app.current_tenant', 'tenantry.proof']
    const calls = names.toReversed().map((name) => `set_config('${name}', $${names.indexOf(name) + 1}, true)`)
    await client.query(`select ${calls.join(', ')}`, settings)
  }
  /** With values, if only none, several statements in one text are refused. */
  async function send(text: string, values: readonly unknown[] = []): Promise<{ rows: unknown[] }> {
    const { rows } = await client.query<object>({
      text,
      values: [...values],
      queryMode: 'extended',
    } as pg.QueryConfig)
    return { rows }
  }
  function poolFor(tenant: Tenant): ProofPool {
    return {
      query: (given, values) =>
        inTurn(async () => {
          const { text } = typeof given === 'string' ? { text: given } : given
          check(text)
          await enter(tenant)
          try {
            const result = await send(text, values)
            await client.query('commit')
            return result
          } catch (error) {
            await client.query('rollback')
            throw error
          }
        }),
      connect: () => connect(tenant),
    }
  }
  async function connect(tenant: Tenant): Promise<ProofClient> {
    const { promise: released, resolve } = Promise.withResolvers<void>()
    const { promise: ours, resolve: start } = Promise.withResolvers<void>()
    void inTurn(async () => {
      start()
      await released
      client.removeAllListeners('notice')
      await client.query('rollback')
    }).catch(() => undefined)
    await ours
    let done = false
    return {
      async query(text, values) {
        if (done) throw Object.assign(new Error('released'), { code: '57014' })
        if (text.startsWith('begin')) {
          await enter(tenant)
          return { rows: [] }
        }
        check(text)
        return send(text, values)
      },
      on: (_event, listener) => client.on('notice', listener),
      release() {
        done = true
        resolve()
      },
    }
  }
  return {
    poolFor,
    central: {
      query: (given, values) => inTurn(() => send(typeof given === 'string' ? given : given.text, values)),
      connect: () => Promise.reject(new Error('central work has no transactions here')),
    },
    close: () => inTurn(() => client.end()).catch(() => undefined),
  }
}
