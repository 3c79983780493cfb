import { expect, test } from 'vitest'
import { createPace } from '../../../src/migrate/fleet/pace.ts'

test('the estimate follows the rate of late, not that of the beginning', () => {
  let now = 0
  const pace = createPace(() => now)
  expect(pace.untilDone(5)).toBeUndefined()
  for (let done = 0; done < 1000; done++) {
    now += 10
    pace.note()
  }
  expect(pace.perSecond()).toBeCloseTo(100)
  expect(pace.untilDone(50)).toBeCloseTo(500)
  for (let done = 0; done < 300; done++) {
    now += 1000
    pace.note()
  }
  expect(pace.perSecond()).toBeCloseTo(1)
  expect(pace.untilDone(0)).toBe(0)
})
