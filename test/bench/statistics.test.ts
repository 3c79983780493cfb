import { expect, test } from 'vitest'
import { median, medianRatio, percentile, rounded } from '../../bench/support/statistics.ts'

test('the median is the middle one, or the mean of the two in the middle', () => {
  expect(median([9, 1, 5])).toBe(5)
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(median([7])).toBe(7)
  expect(median([])).toBeNaN()
})

test('one wild round does not move the median', () => {
  expect(median([100, 101, 99, 100, 1_000_000])).toBe(100)
})

test('a percentile is a value that was measured: the smallest that so many are not above', () => {
  const values = Array.from({ length: 100 }, (_, index) => 100 - index)
  expect(percentile(values, 0.99)).toBe(99)
  expect(percentile(values, 0.5)).toBe(50)
  expect(percentile(values, 1)).toBe(100)
  expect(percentile(values, 0)).toBe(1)
  // Of few values the highest: never one that more than a hundredth exceeds.
  expect(percentile([1, 2, 3, 4, 5], 0.99)).toBe(5)
  expect(percentile([3], 0.99)).toBe(3)
  expect(percentile([], 0.99)).toBeNaN()
})

test('a ratio compares the two sides of each round, so that noise of the machine cancels out', () => {
  // Half the speed in the second round, for both: the ratio stays.
  expect(medianRatio([200, 100, 210], [100, 50, 100])).toBe(2)
  expect(medianRatio([1], undefined)).toBeUndefined()
  expect(medianRatio([], [1])).toBeUndefined()
})

test('figures are rounded to what they can tell', () => {
  expect(rounded(1234.56)).toBe(1235)
  expect(rounded(1.2345, 2)).toBe(1.23)
})
