import { afterAll, beforeAll, expect, test } from 'vitest'
import { prove } from '../../src/prove/prove.ts'
import { findPgBouncer, type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { createProofWorld, type ProofWorld } from './proof-world.ts'

const TIMEOUT = 180_000

let world: ProofWorld
let pooler: PgBouncer
beforeAll(async () => {
  if (findPgBouncer() === undefined) return
  world = await createProofWorld()
  pooler = await startPgBouncer({ poolSize: 2 })
}, TIMEOUT)
afterAll(async () => {
  await world?.close()
  await pooler?.stop()
})

test.skipIf(findPgBouncer() === undefined)(
  'P1: a sound installation passes through a pooler in transaction mode',
  async () => {
    const connection = pooler.through(world.db.appUrl)
    const through = world.parts({ connection, pooler: 'pgbouncer', direct: world.db.appUrl })
    const parts = { ...through, pooled: true }
    const report = await prove(parts, { model: 'schema', tier: 'guarded' })
    expect(report.cases.filter(({ outcome }) => outcome === 'failed')).toEqual([])
    expect(report.tiers).toMatchObject([{ achieved: 'guarded', enforcement: 'database' }])
  },
  TIMEOUT,
)

test.skipIf(findPgBouncer() === undefined)(
  'attacks without the guard are not sent through a pooler, where others would meet what they leave',
  async () => {
    const connection = pooler.through(world.db.appUrl)
    await expect(prove({ ...world.parts(), connection })).rejects.toMatchObject({ code: 'TNY002' })
    expect(await world.leftovers()).toEqual([])
  },
  TIMEOUT,
)
