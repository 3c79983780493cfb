/** How fast a run goes lately, and when it would be done at that. */

export interface Pace {
  /** One more is finished. */
  note(): void
  /** Finished each second, over the last of them; `undefined` where too little is known. */
  perSecond(): number | undefined
  /** Milliseconds until `left` more are finished. */
  untilDone(left: number): number | undefined
}

/** How many finished ones a rate looks back on, at most. */
const WINDOW = 200
/** What is older says little: the tenants behind may be larger. */
const WINDOW_MS = 60_000

/** @param now in milliseconds; the clock of the process by default. */
export function createPace(now: () => number = () => performance.now()): Pace {
  const times: number[] = [now()]
  const perSecond = (): number | undefined => {
    const at = now()
    while (times.length > 2 && (times.length > WINDOW || at - (times[0] ?? 0) > WINDOW_MS)) times.shift()
    const tookMs = at - (times[0] ?? at)
    return times.length < 2 || tookMs <= 0 ? undefined : ((times.length - 1) / tookMs) * 1000
  }
  return {
    note: () => void times.push(now()),
    perSecond,
    untilDone(left) {
      if (left === 0) return 0
      const rate = perSecond()
      return rate === undefined ? undefined : (left / rate) * 1000
    },
  }
}
