/** Chance that repeats: every contender meets the same tenants in the same order. */

/** A number from 0 up to, but not including, 1. */
export type Random = () => number

/** Mulberry32: small, fast, and even enough for choosing tenants. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Chooses a whole number from 0 to count - 1. */
export type Choose = (random: Random) => number

/** Every number as likely as any other. */
export function uniform(count: number): Choose {
  return (random) => Math.floor(random() * count)
}

/** Zipf's law: the number n comes 1/(n+1)^exponent times as often as the number 0. */
export function zipf(count: number, exponent = 1): Choose {
  const sums = new Float64Array(count)
  let sum = 0
  for (let rank = 0; rank < count; rank += 1) {
    sum += 1 / (rank + 1) ** exponent
    sums[rank] = sum
  }
  return (random) => {
    const wanted = random() * sum
    let [low, high] = [0, count - 1]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((sums[middle] ?? 0) > wanted) high = middle
      else low = middle + 1
    }
    return low
  }
}

/** The numbers from 0 to count - 1 in a random order. */
export function shuffled(count: number, random: Random): number[] {
  const numbers = Array.from({ length: count }, (_, index) => index)
  for (let last = count - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1))
    const [a = 0, b = 0] = [numbers[last], numbers[other]]
    numbers[last] = b
    numbers[other] = a
  }
  return numbers
}
