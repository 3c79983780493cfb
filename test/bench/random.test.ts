import { expect, test } from 'vitest'
import { createRandom, shuffled, uniform, zipf, type Choose } from '../../bench/support/random.ts'

const COUNT = 2_500
const DRAWS = 200_000

function countsOf(choose: Choose): number[] {
  const random = createRandom(7)
  const counts = Array.from({ length: COUNT }, () => 0)
  for (let draw = 0; draw < DRAWS; draw += 1) {
    const chosen = choose(random)
    counts[chosen] = (counts[chosen] ?? Number.NaN) + 1
  }
  return counts
}

test('the same seed gives the same numbers, another seed others; all from 0 up to 1', () => {
  const [a, b, c] = [createRandom(1), createRandom(1), createRandom(2)]
  const first = Array.from({ length: 1_000 }, a)
  expect(Array.from({ length: 1_000 }, b)).toEqual(first)
  expect(Array.from({ length: 1_000 }, c)).not.toEqual(first)
  expect(Math.min(...first)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...first)).toBeLessThan(1)
})

test('Zipf: the number n comes 1/(n+1) times as often as 0, and no other numbers come', () => {
  const counts = countsOf(zipf(COUNT))
  const harmonic = Array.from({ length: COUNT }, (_, index) => 1 / (index + 1)).reduce((a, b) => a + b)
  expect(counts).toHaveLength(COUNT)
  for (const rank of [0, 1, 9]) {
    const expected = DRAWS / harmonic / (rank + 1)
    expect(counts[rank], `rank ${rank}`).toBeGreaterThan(expected * 0.9)
    expect(counts[rank], `rank ${rank}`).toBeLessThan(expected * 1.1)
  }
  // The tail is long: most tenants come too.
  expect(counts.filter((count) => count > 0).length).toBeGreaterThan(COUNT * 0.95)
})

test('uniform: none is preferred', () => {
  const counts = countsOf(uniform(COUNT))
  expect(counts).toHaveLength(COUNT)
  expect(Math.min(...counts)).toBeGreaterThan(0)
  expect(Math.max(...counts)).toBeLessThan((DRAWS / COUNT) * 2)
})

test('shuffled holds each number once', () => {
  const order = shuffled(1_000, createRandom(3))
  expect(order).not.toEqual(Array.from({ length: 1_000 }, (_, index) => index))
  expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1_000 }, (_, index) => index))
})
