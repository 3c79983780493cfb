import fc from 'fast-check'
import { expect, test } from 'vitest'
import { configProblem } from '../../../src/core/config.ts'
import type { Wave } from '../../../src/core/waves.ts'
import { type Candidate, planWaves } from '../../../src/migrate/fleet/plan-waves.ts'

const tenant = (key: string, more: Partial<Candidate> = {}): Candidate => ({
  id: `id-${key}`,
  key,
  model: 'schema',
  ...more,
})

test('a tenant belongs to the first wave that it fits, else to the last', () => {
  const { waves, waveOf } = planWaves([
    { name: 'canary', tenants: ['acme', 'id-globex'] },
    { settings: { beta: true } },
    { plan: ['free', 'trial'], model: 'schema' },
    { server: 'main', percent: 50 },
  ])
  expect(waves.map(({ name }) => name)).toEqual([
    'canary',
    'beta = true',
    'plan free, trial; model schema',
    'server main; 50 %',
    'all others',
  ])
  expect(waveOf(tenant('acme', { plan: 'free' }))).toBe(0)
  expect(waveOf(tenant('globex'))).toBe(0)
  expect(waveOf(tenant('a', { settings: { beta: true, more: 1 } }))).toBe(1)
  expect(waveOf(tenant('a', { settings: { beta: 'true' }, plan: 'free' }))).toBe(2)
  expect(waveOf(tenant('a', { model: 'database', plan: 'free', server: 'other' }))).toBe(4)
})

test('a wave can only be all of those that share tables, or none', () => {
  const together = tenant('shared tenants', { id: '', model: 'shared', together: true })
  const { waveOf } = planWaves([
    { percent: 100 },
    { plan: 'free' },
    { settings: { a: 1 } },
    { model: 'shared' },
  ])
  expect(waveOf(together)).toBe(3)
  expect(planWaves([]).waves.map(({ name }) => name)).toEqual(['all'])
})

test('a share is near what it says, holds the smaller ones, and is the same at every run', () => {
  const share = (percent: number): string[] => {
    const { waveOf } = planWaves([{ percent }])
    const keys = Array.from({ length: 2000 }, (_, index) => `t${index}`)
    return keys.filter((key) => waveOf(tenant(key)) === 0)
  }
  const [ten, fifty] = [share(10), share(50)]
  expect(ten.length).toBeGreaterThan(140)
  expect(ten.length).toBeLessThan(260)
  expect(ten.filter((key) => !fifty.includes(key))).toEqual([])
  expect(share(10)).toEqual(ten)
  expect(share(100)).toHaveLength(2000)
})

test.each([
  ['not a list', 'x', 'waves is not a list of waves'],
  ['nobody selected', [{ name: 'a' }], 'waves[0] says no tenants (by tenants'],
  ['a share of nothing', [{ percent: 10 }, { percent: 0 }], 'waves[1] `percent` is not a number above 0'],
  ['a word too many', [{ plan: 'a', gates: [] }], 'waves[0] has no option `gates` (there is name, tenants'],
  ['no question', [{ plan: 'a', gate: {} }], '`gate` needs one of `command`, `sql`, `http` and `check`'],
  ['two questions', [{ plan: 'a', gate: [{ sql: 'x', http: 'http://x' }] }], '`gate` [0] needs one of'],
  [
    'another protocol',
    [{ plan: 'a', gate: { http: 'file:///etc/passwd' } }],
    'is not an address of http or https',
  ],
  ['a status without an address', [{ plan: 'a', gate: { sql: 'x', status: 200 } }], 'has a `status` without'],
  ['an endless pause', [{ plan: 'a', pauseMs: 2 ** 31 }], 'is not a number of milliseconds'],
  ['an inherited name', [{ plan: 'a', constructor: 1 }], 'has no option `constructor`'],
])('waves are refused: %s', (_, waves, reason) => {
  expect(() => planWaves(waves as Wave[])).toThrow(
    expect.objectContaining({ code: 'TNY420', message: expect.stringContaining(reason) as string }),
  )
  expect(configProblem({ migrations: { waves } })).toContain('waves')
})

test('whatever is given, waves are accepted or refused by code', () => {
  fc.assert(
    fc.property(fc.anything(), (waves) => {
      try {
        planWaves(waves as Wave[])
      } catch (error) {
        expect(error).toMatchObject({ code: 'TNY420' })
      }
      expect(configProblem({ migrations: { waves } }) ?? '').toEqual(expect.any(String))
    }),
  )
})

test('a configuration may hold waves beside its folders', () => {
  const gate = { command: 'npm run smoke', timeoutMs: 1000, retries: 2, intervalMs: 10 }
  expect(
    configProblem({ migrations: { tenant: 'db', waves: [{ percent: 10, pauseMs: 1000, gate }] } }),
  ).toBeUndefined()
})
