import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { soften } from '../../src/isolation/harden.ts'
import { prove } from '../../src/prove/prove.ts'
import { PAYLOADS } from '../../src/prove/payloads.ts'
import type { ProofReport } from '../../src/prove/report.ts'
import { holdingRun, removeLeftovers, createThrowAway } from '../../src/prove/throw-away.ts'
import { createProofWorld, type ProofWorld } from './proof-world.ts'

const TIMEOUT = 240_000

let world: ProofWorld
beforeAll(async () => {
  world = await createProofWorld()
}, TIMEOUT)
afterAll(() => world.close())

describe('a sound installation', () => {
  let report: ProofReport
  beforeAll(async () => {
    await world.plane.tenants.create({ key: 'acme' })
    report = await prove(world.parts())
  }, TIMEOUT)

  test('passes every case, for each model and tier, and is left as it was', async () => {
    const failures = report.cases.filter(({ outcome }) => outcome === 'failed')
    expect(failures).toEqual([])
    expect(report).toMatchObject({ ok: true, failed: 0, skipped: [], left: [] })
    expect(report.lint.filter(({ severity }) => severity === 'error')).toEqual([])
    expect(await world.leftovers()).toEqual([])
    expect(report.passed).toBe(report.cases.length)
  })

  test('is told its tiers truthfully', () => {
    const told = report.tiers.map(({ model, tier, achieved }) => `${model}/${tier}: ${achieved}`)
    expect(told).toEqual([
      'shared/guarded: guarded',
      'shared/sealed: sealed',
      'schema/guarded: guarded',
      'schema/sealed: sealed',
      'database/guarded: guarded',
      'database/sealed: sealed',
    ])
    const sealed = report.tiers.filter(({ tier }) => tier === 'sealed')
    for (const tier of sealed)
      expect(tier).toMatchObject({ enforcement: 'database', onlyGuard: [], untouched: true })
    expect(report.tiers[2]).toMatchObject({ enforcement: 'database', tenants: 1 })
  })

  test('is attacked in every case of the catalogue, by the whole corpus and by several ways', () => {
    const tried = new Set(report.cases.map((each) => each.case))
    const known = [
      ...Array.from({ length: 31 }, (_, at) => `S${at + 1}`),
      ...Array.from({ length: 7 }, (_, at) => `P${at + 1}`),
    ]
    expect(known.filter((id) => !tried.has(id))).toEqual([])
    expect(new Set(PAYLOADS.map(({ sql }) => sql)).size).toBeGreaterThanOrEqual(200)
    // Each payload at least once for each kind; sealed ones by their own login too.
    expect(report.attacks).toBeGreaterThan(PAYLOADS.length * 9)
    for (const { attacks, ...counts } of report.cases) {
      expect(counts.refusedByGuard + counts.refusedByDatabase + counts.withoutEffect).toBe(attacks)
    }
  })

  test('gives a document whose shape does not change', () => {
    expect(Object.keys(report).toSorted()).toEqual(
      'attacks cases failed left lint ok passed server skipped startedAt tiers tookMs version warnings'.split(
        ' ',
      ),
    )
    expect(Object.keys(report.cases[0] ?? {}).toSorted()).toEqual(
      'attacks breaches case model outcome refusedByDatabase refusedByGuard tier title withoutEffect'.split(
        ' ',
      ),
    )
    expect(Object.keys(report.tiers[0] ?? {}).toSorted()).toEqual(
      'achieved enforcement model onlyGuard open tenants tier untouched'.split(' '),
    )
    expect(JSON.parse(JSON.stringify(report))).toEqual(report)
  })
})

test(
  'a kind that cannot be made is skipped, and told',
  async () => {
    const parts = { ...world.parts(), control: { tenants: { ...world.plane.tenants, create: refuseSealed } } }
    const report = await prove(parts, { model: 'schema' })
    expect(report.skipped).toMatchObject([{ model: 'schema', tier: 'sealed', reason: 'no key for that' }])
    expect(report.tiers).toHaveLength(1)
    expect(await world.leftovers()).toEqual([])
  },
  TIMEOUT,
)

const refuseSealed: ProofWorld['plane']['tenants']['create'] = async (input) => {
  if (input.tier === 'sealed') throw new Error('no key for that')
  return world.plane.tenants.create(input)
}

test(
  'where nothing could be tried nothing is proven',
  async () => {
    const parts = { ...world.parts(), control: { tenants: { ...world.plane.tenants, create: refuseSealed } } }
    const report = await prove(parts, { model: 'schema', tier: 'sealed' })
    expect(report).toMatchObject({ ok: false, failed: 0, passed: 0, cases: [] })
  },
  TIMEOUT,
)

test(
  'its tenants are removed where an attack throws, and where it is stopped',
  async () => {
    const kind = { model: 'shared', tier: 'guarded' } as const
    const seen: number[] = []
    const failing = prove(world.parts(), {
      ...kind,
      onProgress(line) {
        if (!line.includes('attack 40')) return
        seen.push(1)
        throw new Error('an attack went wrong')
      },
    })
    await expect(failing).rejects.toThrow('an attack went wrong')
    expect(await world.leftovers()).toEqual([])
    const stop = new AbortController()
    const stopped = prove(world.parts(), {
      ...kind,
      signal: stop.signal,
      onProgress(line) {
        if (line.includes('attack 40')) stop.abort(new Error('enough'))
      },
    })
    await expect(stopped).rejects.toThrow('enough')
    expect(await world.leftovers()).toEqual([])
    expect(seen).toHaveLength(1)
  },
  TIMEOUT,
)

test(
  'leftovers of a killed proof are removed, those of one at work and those of users are not',
  async () => {
    const kind = { model: 'schema', tier: 'guarded' } as const
    const mine = await world.plane.tenants.create({ key: 'prove-00000001-0a' })
    const left = await createThrowAway(world.plane, '00000002', kind, '0a')
    await holdingRun(world.admin, '00000003', async () => {
      const working = await createThrowAway(world.plane, '00000003', kind, '0a')
      const { removed } = await removeLeftovers(world.admin, world.plane)
      expect(removed).toEqual([left.key])
      expect((await world.plane.tenants.get(working.key)).status).toBe('active')
    })
    expect((await removeLeftovers(world.admin, world.plane)).removed).toEqual(['prove-00000003-0a'])
    expect((await world.plane.tenants.get(mine.key)).status).toBe('active')
    await world.plane.tenants.delete(mine.id, { confirm: mine.key })
  },
  TIMEOUT,
)

test(
  'S15: what a sealed tenant makes for its own session is no breach where the server lets it',
  async () => {
    const open = await createProofWorld()
    const owner = createAdminDatabase(open.db.superuserUrl, 1)
    await soften(owner)
    const report = await prove(open.parts(), { model: 'schema', tier: 'sealed' })
    expect(report.cases.flatMap(({ breaches }) => breaches)).toEqual([])
    expect(report.tiers).toMatchObject([{ achieved: 'sealed', enforcement: 'database' }])
    await owner.close()
    await open.close()
  },
  TIMEOUT,
)
