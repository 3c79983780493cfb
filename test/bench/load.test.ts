import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { runClosedLoop, WrongRow } from '../../bench/support/closed-loop.ts'
import { medians, pick, ratioOf, takeTurns } from '../../bench/support/rounds.ts'
import { steadyLoad } from '../../bench/support/steady-load.ts'

test('a closed loop keeps so many tasks under way, and counts those that failed apart', async () => {
  let [running, most, calls] = [0, 0, 0]
  const result = await runClosedLoop({ concurrency: 4, ms: 60_000, tasks: 40 }, async () => {
    running += 1
    most = Math.max(most, running)
    calls += 1
    const fails = calls % 10 === 0
    await sleep(1)
    running -= 1
    if (fails) throw new Error('one in ten')
  })
  expect(most).toBe(4)
  expect(result).toMatchObject({ done: 36, failed: 4 })
  expect(result.perSecond).toBeCloseTo((36 / result.ms) * 1_000)
})

test('a row of another tenant ends the benchmark instead of counting as a failure', async () => {
  const loop = runClosedLoop({ concurrency: 2, ms: 60_000, tasks: 10 }, async () => {
    throw new WrongRow('tenantry', 'acme', 'globex')
  })
  await expect(loop).rejects.toThrow('tenantry read a row of globex for acme')
})

test('contenders take turns, and each goes first once', async () => {
  const order: string[] = []
  const contenders = [{ name: 'a' }, { name: 'b' }, { name: 'c' }]
  const rounds = await takeTurns(contenders, 3, async ({ name }, round) => {
    order.push(name)
    return { speed: (name === 'a' ? 20 : 10) + round }
  })
  expect(order.join('')).toBe('abcbcacab')
  const speeds = pick(rounds, ({ speed }) => speed)
  expect(medians(speeds)).toEqual({ a: 21, b: 11, c: 11 })
  expect(ratioOf(speeds, 'a', 'b')).toBe(1.909)
  expect(ratioOf(speeds, 'a', 'absent')).toBeUndefined()
})

test('a steady load goes on asking while answers are late, so that none of the waits is left out', async () => {
  const gate = Promise.withResolvers<void>()
  let asked = 0
  const times = steadyLoad({ sources: 2, perSecond: 100, ms: 300 }, async () => {
    asked += 1
    await gate.promise
  })
  await sleep(500)
  const askedBeforeAnyAnswer = asked
  gate.resolve()
  expect(await times).toHaveLength(askedBeforeAnyAnswer)
  expect(askedBeforeAnyAnswer).toBeGreaterThan(20)
  expect(Math.min(...(await times))).toBeGreaterThan(150)
})
