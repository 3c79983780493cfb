/** Counts attacks by case, for one kind of tenant. */
import type { Outcome } from './attack.ts'
import { CASE_TITLES, compareCases } from './cases.ts'
import type { Breach, Kind, ProofCase } from './report.ts'

/** Breaches of one case and one harm that a report shows in full; a hundred of them say no more. */
const SHOWN = 10

interface Count {
  attacks: number
  refusedByGuard: number
  refusedByDatabase: number
  withoutEffect: number
  readonly breaches: Breach[]
}

/** What the attacks of one kind have come to so far. */
export interface Tally {
  /** An attack of the corpus. */
  add(threat: string, outcome: Outcome, told: Omit<Breach, 'harm' | 'seen'>): void
  /** Any other; without a breach it was without effect. */
  note(threat: string, breach: Breach | undefined): void
  /** In the order of the catalogue. */
  cases(): ProofCase[]
}

export function createTally(kind: Kind): Tally {
  const counts = new Map<string, Count>()
  const countOf = (threat: string): Count => {
    const count = counts.get(threat) ?? {
      attacks: 0,
      refusedByGuard: 0,
      refusedByDatabase: 0,
      withoutEffect: 0,
      breaches: [],
    }
    counts.set(threat, count)
    return count
  }
  function note(threat: string, breach: Breach | undefined): void {
    const count = countOf(threat)
    count.attacks += 1
    if (breach === undefined) count.withoutEffect += 1
    else if (count.breaches.filter(({ harm }) => harm === breach.harm).length < SHOWN) {
      count.breaches.push(breach)
    }
  }
  return {
    note,
    add(threat, outcome, told) {
      if (outcome.verdict === 'refused') {
        const count = countOf(threat)
        count.attacks += 1
        if (outcome.by === 'guard') count.refusedByGuard += 1
        else count.refusedByDatabase += 1
      } else if (outcome.verdict === 'without effect') note(threat, undefined)
      else note(threat, { ...told, harm: outcome.verdict, seen: outcome.seen })
    },
    cases: () =>
      [...counts]
        .toSorted(([one], [other]) => compareCases(one, other))
        .map(([threat, count]) => ({
          case: threat,
          title: CASE_TITLES[threat] ?? threat,
          ...kind,
          outcome: count.breaches.length === 0 ? 'passed' : 'failed',
          ...count,
        })),
  }
}
