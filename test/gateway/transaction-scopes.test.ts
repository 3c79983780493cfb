import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import Cursor from 'pg-cursor'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { TransactionScopes } from '../../src/gateway/pg-pool/transaction-scopes.ts'
import type { GatewayPool, Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

let world: TenantWorld
let tenancy: Tenancy
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open({ max: 6, waitTimeoutMs: 1_500 })
})
afterEach(() => tenancy.poolFor('acme').query('delete from orders where note is not null'))
afterAll(() => world.close())

const INSERT = "insert into orders (owner, note) values ('acme', $1)"

/** Notes that a pool sees. */
async function notes(pool: Pick<GatewayPool, 'query'>): Promise<string[]> {
  const { rows } = await pool.query<{ note: string }>(
    'select note from orders where note is not null order by id',
  )
  return rows.map(({ note }) => note)
}

/** What is committed, as somebody sees it who has no part in any transaction. */
const committed = (): Promise<string[]> => tenancy.outsideTransaction(() => notes(tenancy.poolFor('acme')))

const inAcme = <T>(fn: () => Promise<T>): Promise<T> => tenancy.run('acme', fn)

/** A transaction that is rolled back, with what its function found. */
async function undone<T>(fn: () => Promise<T>): Promise<T> {
  let found: { readonly it: T } | undefined
  const failing = inAcme(() =>
    tenancy.transaction(async () => {
      found = { it: await fn() }
      throw new Error('undo')
    }),
  )
  await expect(failing).rejects.toThrow('undo')
  if (found === undefined) throw new Error('it did not run')
  return found.it
}

describe('join', () => {
  test('A2: a helper that uses the pool, by context, key or id, is in the transaction of its context', async () => {
    const { id } = world.tenants['acme'] ?? { id: '' }
    const seen = await undone(async () => {
      for (const pool of [tenancy.pool, tenancy.poolFor('acme'), tenancy.poolFor(id)]) {
        await pool.query(INSERT, ['helped'])
      }
      const client = await tenancy.pool.connect()
      await client.query(INSERT, ['by a client'])
      client.release()
      expect(await committed()).toEqual([])
      return notes(tenancy.pool)
    })
    expect(seen).toEqual(['helped', 'helped', 'helped', 'by a client'])
    expect(await committed()).toEqual([])
  })

  test('it is one transaction: one id, one backend, and one connection', async () => {
    const ask = 'select pg_current_xact_id()::text as xid, pg_backend_pid() as pid'
    const answers = await undone(async () => {
      const given = await Promise.all(Array.from({ length: 8 }, () => tenancy.pool.query(ask)))
      return given.map(({ rows }) => JSON.stringify(rows))
    })
    expect(new Set(answers).size).toBe(1)
  })

  test('A2: another tenant, central and shared work stay outside', async () => {
    await undone(async () => {
      const own = async (pool: GatewayPool): Promise<unknown> =>
        (await pool.query('select pg_backend_pid() as pid')).rows
      const inside = await own(tenancy.pool)
      expect(await own(tenancy.central)).not.toEqual(inside)
      expect(await own(tenancy.shared)).not.toEqual(inside)
      await tenancy.run('globex', async () => {
        expect(await own(tenancy.pool)).not.toEqual(inside)
        const { rows } = await tenancy.pool.query('select distinct owner from orders')
        expect(rows).toEqual([{ owner: 'globex' }])
        // And explicitly back.
        expect(await own(tenancy.poolFor('acme'))).toEqual(inside)
      })
    })
  })

  test('A2: transactions of two tenants, one inside the other: each one’s helpers are in its own', async () => {
    const xid = async (pool: GatewayPool): Promise<unknown> =>
      (await pool.query('select pg_current_xact_id()::text as xid')).rows
    await undone(async () => {
      const acme = await xid(tenancy.pool)
      await tenancy.run('globex', () =>
        tenancy.transaction(async () => {
          const globex = await xid(tenancy.pool)
          expect(globex).not.toEqual(acme)
          expect(await xid(tenancy.poolFor('acme'))).toEqual(acme)
          expect(await tenancy.run('acme', () => xid(tenancy.pool))).toEqual(acme)
          expect(await xid(tenancy.poolFor('globex'))).toEqual(globex)
        }),
      )
    })
  })

  test('with one connection in all, a helper inside a transaction does not wait for it', async () => {
    const small = world.open({ max: 1, waitTimeoutMs: 1_500 })
    const rows = await small.run('acme', () =>
      small.transaction(async (client) => {
        await client.query('select 1')
        return (await small.pool.query('select 1 as one')).rows
      }),
    )
    expect(rows).toEqual([{ one: 1 }])
    // The control: beside it, there is no other one to be had.
    const beside = small.run('acme', () =>
      small.transaction(async (client) => {
        await client.query('select 1')
        await small.outsideTransaction(() => small.pool.query('select 1'))
      }),
    )
    await expect(beside).rejects.toMatchObject({ code: 'TNY203' })
  })

  test('a transaction inside of one is a savepoint', async () => {
    const seen = await undone(async () => {
      await tenancy.transaction((client) => client.query(INSERT, ['kept']))
      const failing = tenancy.transaction(async (client) => {
        await client.query(INSERT, ['lost'])
        await tenancy.transaction(() => tenancy.pool.query(INSERT, ['lost too']))
        expect(await notes(tenancy.pool)).toEqual(['kept', 'lost', 'lost too'])
        await client.query('select 1 / 0')
      })
      await expect(failing).rejects.toMatchObject({ code: '22012' })
      return notes(tenancy.pool)
    })
    expect(seen).toEqual(['kept'])
  })

  test('its COMMIT does not commit: what it wrote goes with the outer one', async () => {
    await undone(async () => {
      const client = await tenancy.pool.connect()
      for (const text of ['begin', "insert into orders (owner, note) values ('acme', 'x')", 'commit'])
        await client.query(text)
      // Nothing is open here any more, so that these end nothing.
      await client.query('commit')
      await client.query('rollback')
      client.release()
      expect(await notes(tenancy.pool)).toEqual(['x'])
      expect(await committed()).toEqual([])
    })
    expect(await committed()).toEqual([])
  })

  test('P3: a client released inside its savepoint undoes that alone', async () => {
    const seen = await undone(async () => {
      await tenancy.pool.query(INSERT, ['before'])
      const client = await tenancy.pool.connect()
      await client.query('begin')
      await client.query(INSERT, ['left open'])
      client.release()
      await tenancy.pool.query(INSERT, ['after'])
      return notes(tenancy.pool)
    })
    expect(seen).toEqual(['before', 'after'])
  })

  test('COMMIT of a failed savepoint answers as PostgreSQL does, and leaves the outer one usable', async () => {
    await undone(async () => {
      const client = await tenancy.pool.connect()
      await client.query('begin')
      await expect(client.query('select 1 / 0')).rejects.toMatchObject({ code: '22012' })
      expect((await client.query('commit')).command).toBe('ROLLBACK')
      client.release()
      expect(await notes(tenancy.pool)).toEqual([])
    })
  })

  test('two nested ones at once, and statements beside them: each undoes its own alone', async () => {
    const seen = await undone(async () => {
      const opened = Promise.withResolvers<void>()
      const failing = tenancy.transaction(async () => {
        await tenancy.pool.query(INSERT, ['failing'])
        opened.resolve()
        await sleep(50)
        throw new Error('alone')
      })
      const results = await Promise.allSettled([
        failing,
        tenancy.transaction(() => tenancy.pool.query(INSERT, ['nested'])),
        opened.promise.then(() => tenancy.pool.query(INSERT, ['beside'])),
      ])
      expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
      return notes(tenancy.pool)
    })
    expect(seen.toSorted()).toEqual(['beside', 'nested'])
  })

  test('the transaction’s own client waits for a nested one too', async () => {
    await inAcme(() =>
      tenancy.transaction(async (client) => {
        const inside = Promise.withResolvers<void>()
        const written = Promise.withResolvers<void>()
        const nested = tenancy.transaction(async (own) => {
          await own.query(INSERT, ['nested'])
          inside.resolve()
          // By the outer one's client, from inside: it must not wait for itself.
          await client.query(INSERT, ['nested too'])
          await Promise.race([written.promise, sleep(200)])
          throw new Error('undo')
        })
        await inside.promise
        const beside = client.query(INSERT, ['beside']).then(() => written.resolve())
        await expect(nested).rejects.toThrow('undo')
        await beside
      }),
    )
    expect(await committed()).toEqual(['beside'])
  })

  test('COMMIT waits for a nested transaction that nobody awaits: half of it is never committed', async () => {
    let nested: Promise<void> = Promise.resolve()
    await inAcme(() =>
      tenancy.transaction(async () => {
        const begun = Promise.withResolvers<void>()
        nested = tenancy.transaction(async (own) => {
          await own.query(INSERT, ['debit'])
          begun.resolve()
          await sleep(100)
          await own.query(INSERT, ['credit'])
        })
        await begun.promise
      }),
    )
    await nested
    expect(await committed()).toEqual(['debit', 'credit'])
  })

  test('COMMIT beside a client that was left open in a savepoint is refused, and all undone', async () => {
    const failing = inAcme(() =>
      tenancy.transaction(async () => {
        const forgotten = await tenancy.pool.connect()
        await forgotten.query('begin')
        await forgotten.query(INSERT, ['half'])
      }),
    )
    await expect(failing).rejects.toMatchObject({ code: 'TNY233' })
    expect(await committed()).toEqual([])
  })

  test('P4: a transaction that PostgreSQL rolls back at COMMIT is not told as done, a nested one neither', async () => {
    const swallow = async (): Promise<string> => {
      await tenancy.pool.query(INSERT, ['lost'])
      await tenancy.pool.query('select 1 / 0').catch(() => undefined)
      return 'done'
    }
    await expect(inAcme(() => tenancy.transaction(swallow))).rejects.toMatchObject({ code: 'TNY237' })
    await inAcme(() =>
      tenancy.transaction(async () => {
        await expect(tenancy.transaction(swallow)).rejects.toMatchObject({ code: 'TNY237' })
        await tenancy.pool.query(INSERT, ['kept'])
      }),
    )
    expect(await committed()).toEqual(['kept'])
  })

  test('one transaction is told by one object, a nested one by another', async () => {
    await inAcme(() =>
      tenancy.transaction(async () => {
        const outer = tenancy.findTransaction()
        expect(outer).toBeDefined()
        expect(tenancy.findTransaction()).toBe(outer)
        await tenancy.transaction(async () => {
          await tenancy.pool.query('select 1')
          expect(tenancy.findTransaction()).not.toBe(outer)
        })
        expect(tenancy.findTransaction()).toBe(outer)
      }),
    )
    expect(tenancy.findTransaction()).toBeUndefined()
  })

  test('a mode of its own is refused inside, and works outside of the transaction', async () => {
    await undone(async () => {
      for (const options of [{ isolation: 'serializable' }, { readOnly: true }] as const) {
        const asking = (): Promise<unknown> =>
          tenancy.transaction((client) => client.query('select 1'), options)
        await expect(asking()).rejects.toMatchObject({ code: 'TNY232' })
        await tenancy.outsideTransaction(asking)
      }
      const client = await tenancy.pool.connect()
      await client.query('begin')
      const late = client.query('set transaction isolation level serializable')
      await expect(late).rejects.toMatchObject({ code: 'TNY232' })
      client.release()
    })
  })

  test('outsideTransaction: what it writes stays', async () => {
    await undone(() => tenancy.outsideTransaction(() => tenancy.pool.query(INSERT, ['audit'])))
    expect(await committed()).toEqual(['audit'])
  })

  test('cursors read in the transaction; what waits for one that is not read ends with TNY233', async () => {
    await undone(async () => {
      await tenancy.pool.query(INSERT, ['seen'])
      const cursor = tenancy.pool.query(new Cursor('select note from orders where note is not null'))
      await expect(tenancy.pool.query('select 1')).rejects.toMatchObject({ code: 'TNY233' })
      expect(await cursor.read(5)).toEqual([{ note: 'seen' }])
      await cursor.close()
      expect((await tenancy.pool.query('select 2 as two')).rows).toEqual([{ two: 2 }])
    })
  })

  test('what was made inside and comes too late is refused, and never runs on its own', async () => {
    let late: Promise<unknown> = Promise.resolve()
    const emitter = new EventEmitter()
    await inAcme(() =>
      tenancy.transaction(async (client) => {
        await client.query(INSERT, ['in time'])
        const joined = await tenancy.pool.connect()
        late = once(emitter, 'over').then(() => joined.query(INSERT, ['too late']))
      }),
    )
    emitter.emit('over')
    await expect(late).rejects.toMatchObject({ code: 'TNY231' })
    expect(await committed()).toEqual(['in time'])
  })

  test('work that is begun inside and runs after its end is on its own', async () => {
    const emitter = new EventEmitter()
    let later: Promise<unknown> = Promise.resolve()
    await inAcme(() =>
      tenancy.transaction(async (client) => {
        await client.query('select 1')
        later = once(emitter, 'over').then(() => tenancy.pool.query(INSERT, ['later']))
      }),
    )
    emitter.emit('over')
    await later
    expect(await committed()).toEqual(['later'])
  })

  test('A1: a bound callback is in the transaction where it was bound, whoever calls it', async () => {
    const emitter = new EventEmitter()
    let result: Promise<unknown> = Promise.resolve()
    await inAcme(async () => {
      // Bound outside: called inside, it stays outside.
      emitter.once(
        'job',
        tenancy.bind(() => void (result = tenancy.pool.query(INSERT, ['bound outside']))),
      )
      const failing = tenancy.transaction(async (client) => {
        await client.query('select 1')
        emitter.emit('job')
        await result
        throw new Error('undo')
      })
      await expect(failing).rejects.toThrow('undo')
    })
    expect(await committed()).toEqual(['bound outside'])
  })

  test('a client’s own BEGIN is its own: without a function nothing else joins it', async () => {
    await inAcme(async () => {
      const client = await tenancy.pool.connect()
      await client.query('begin')
      await client.query(INSERT, ['open'])
      expect(await notes(tenancy.pool)).toEqual([])
      await client.query('rollback')
      client.release()
    })
  })

  test('with `retry` the helpers of the second attempt are in the second transaction', async () => {
    let attempts = 0
    await inAcme(() =>
      tenancy.transaction(
        async () => {
          attempts += 1
          await tenancy.pool.query(INSERT, [`attempt ${attempts}`])
          if (attempts === 1) throw await serializationFailure()
        },
        { retry: 1 },
      ),
    )
    expect(await committed()).toEqual(['attempt 2'])
  })

  test('what an attempt left running is not part of the next one', async () => {
    const again = Promise.withResolvers<void>()
    let attempts = 0
    let left: Promise<unknown> = Promise.resolve()
    await inAcme(() =>
      tenancy.transaction(
        async (client) => {
          attempts += 1
          await client.query('select 1')
          if (attempts === 1) {
            left = again.promise.then(() =>
              Promise.allSettled([
                client.query(INSERT, ['by its client']),
                tenancy.pool.query(INSERT, ['left']),
              ]),
            )
            throw await serializationFailure()
          }
          again.resolve()
          await left
          expect(await committed()).toEqual(['left'])
        },
        { retry: 1 },
      ),
    )
    expect(attempts).toBe(2)
    expect(await committed()).toEqual(['left'])
  })

  test('a client that is kept: what one of its transactions left running is not part of the next', async () => {
    await inAcme(async () => {
      const client = await tenancy.pool.connect()
      const again = Promise.withResolvers<void>()
      let left: Promise<unknown> = Promise.resolve()
      await tenancy.transactionScope(async () => {
        await client.query('begin')
        const inner = await tenancy.pool.connect()
        left = again.promise.then(async () => {
          await expect(inner.query(INSERT, ['by its client'])).rejects.toMatchObject({ code: 'TNY231' })
          await tenancy.pool.query(INSERT, ['left'])
        })
        await client.query('commit')
      })
      await client.query('begin')
      again.resolve()
      await left
      await client.query('rollback')
      client.release()
    })
    expect(await committed()).toEqual(['left'])
  })

  test('a nested transaction that outlives the outer one is not part of its client’s next', async () => {
    await inAcme(async () => {
      const client = await tenancy.pool.connect()
      const again = Promise.withResolvers<void>()
      let nested: Promise<unknown> = Promise.resolve()
      await tenancy.transactionScope(async () => {
        await client.query('begin')
        const begun = Promise.withResolvers<void>()
        nested = tenancy.transaction(async (own) => {
          await own.query(INSERT, ['half'])
          begun.resolve()
          await again.promise
          await own.query(INSERT, ['other half'])
        })
        await begun.promise
        await client.query('rollback')
      })
      await client.query('begin')
      await client.query(INSERT, ['next'])
      again.resolve()
      await expect(nested).rejects.toMatchObject({ code: 'TNY231' })
      await client.query('commit')
      client.release()
    })
    expect(await committed()).toEqual(['next'])
  })

  test('a hundred transactions with helpers, of two tenants at once, stay apart', async () => {
    const owners = await Promise.all(
      Array.from({ length: 100 }, (_, turn) => {
        const key = turn % 2 === 0 ? 'acme' : 'globex'
        return tenancy.run(key, () =>
          tenancy.transaction(async (client) => {
            const [{ rows: own }, { rows: helped }] = await Promise.all([
              client.query<{ xid: string }>('select pg_current_xact_id()::text as xid'),
              tenancy.pool.query<{ xid: string; owner: string }>(
                'select distinct pg_current_xact_id()::text as xid, owner from orders',
              ),
            ])
            return own[0]?.xid === helped[0]?.xid && helped.length === 1 && helped[0]?.owner === key
          }),
        )
      }),
    )
    expect(owners.filter((right) => !right)).toEqual([])
  })
})

test('A1: a query that runs only as it is awaited is in the innermost run, and outside where it was meant to be', async () => {
  // As the query builders of ORMs are.
  const lazy = (): PromiseLike<string> => ({
    // oxlint-disable-next-line unicorn/no-thenable -- what is tested
    then: (resolve, reject) =>
      tenancy.pool
        .query<{ owner: string }>('select distinct owner from orders')
        .then(({ rows }) => rows[0]?.owner ?? '')
        .then(resolve, reject),
  })
  await inAcme(async () => {
    expect(await tenancy.run('globex', () => lazy())).toBe('globex')
    await tenancy.transaction(async (client) => {
      await client.query("update orders set owner = 'changed'")
      expect(await lazy()).toBe('changed')
      expect(await tenancy.outsideTransaction(() => lazy())).toBe('acme')
      await client.query('rollback')
    })
  })
})

test('refuse: a helper inside is told to use the client; other tenants and outsideTransaction are not', async () => {
  const strict = world.open({ max: 4, transactions: 'refuse' })
  await strict.run('acme', () =>
    strict.transaction(async (client) => {
      await client.query('select 1')
      await expect(strict.pool.query('select 1')).rejects.toMatchObject({ code: 'TNY230' })
      await expect(strict.pool.connect()).rejects.toMatchObject({ code: 'TNY230' })
      await expect(strict.poolFor('acme').query('select 1')).rejects.toMatchObject({ code: 'TNY230' })
      await expect(strict.pool.query(new Cursor('select 1')).read(1)).rejects.toMatchObject({
        code: 'TNY230',
      })
      await expect(strict.transaction((inner) => inner.query('select 1'))).rejects.toMatchObject({
        code: 'TNY230',
      })
      await strict.poolFor('globex').query('select 1')
      await strict.outsideTransaction(() => strict.pool.query('select 1'))
    }),
  )
})

test('separate: a helper runs beside the transaction, and does not see it', async () => {
  const apart = world.open({ max: 4, transactions: 'separate' })
  await apart.run('acme', () =>
    apart.transaction(async (client) => {
      await client.query(INSERT, ['unseen'])
      expect(await notes(apart.pool)).toEqual([])
    }),
  )
})

test('work that begins its next turn inside of its last transaction does not hold all that went before', () => {
  const scopes = new TransactionScopes('join', 100)
  let asked = 0
  let inside = AsyncLocalStorage.snapshot()
  for (let turn = 0; turn < 100; turn += 1) {
    let isOpen = true
    const client = {
      nesting: {},
      get isInTransaction() {
        asked += 1
        return isOpen
      },
    }
    inside(() =>
      scopes.around(() => {
        scopes.began(client)
        expect(scopes.open()).toEqual([client])
        inside = AsyncLocalStorage.snapshot()
      }),
    )
    isOpen = false
  }
  asked = 0
  expect(inside(() => scopes.open())).toBeUndefined()
  expect(asked).toBe(1)
})

test('an unknown policy is refused at once', () => {
  expect(() => world.open({ transactions: 'maybe' as never })).toThrow(
    expect.objectContaining({ code: 'TNY002' }),
  )
})

/** As the server raises it. */
async function serializationFailure(): Promise<unknown> {
  const { DatabaseError } = (await import('pg')).default
  return Object.assign(new DatabaseError('could not serialize access', 0, 'error'), { code: '40001' })
}
