/** Contenders take turns: what disturbs the machine disturbs all of them. */
import { median, medianRatio, rounded } from './statistics.ts'

/** What was measured, by contender: one figure, or set of figures, for each round. */
export type Rounds<T = number> = ReadonlyMap<string, readonly T[]>

/**
 * Measures every contender once a round; who goes first changes from round to round.
 * @param measure gives the figure of one round.
 */
export async function takeTurns<C extends { readonly name: string }, T>(
  contenders: readonly C[],
  rounds: number,
  measure: (contender: C, round: number) => Promise<T>,
): Promise<Rounds<T>> {
  const figures = new Map<string, T[]>(contenders.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round += 1) {
    const first = round % contenders.length
    for (const contender of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      figures.get(contender.name)?.push(await measure(contender, round))
    }
  }
  return figures
}

/** One of the figures of each round. */
export function pick<T>(rounds: Rounds<T>, figure: (round: T) => number): Rounds {
  return new Map([...rounds].map(([name, values]) => [name, values.map(figure)]))
}

/** The median of each contender. */
export function medians(rounds: Rounds, digits = 0): Record<string, number> {
  return Object.fromEntries([...rounds].map(([name, values]) => [name, rounded(median(values), digits)]))
}

/** How many times contender `a` is contender `b`; undefined where one was not measured. */
export function ratioOf(rounds: Rounds, a: string, b: string): number | undefined {
  return medianRatio(rounds.get(a), rounds.get(b))
}
