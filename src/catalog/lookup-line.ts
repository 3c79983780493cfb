/** Bounds look-ups of names that may be anybody's invention, so that a flood of them cannot occupy the pool. */
import { TenantryError } from '../core/errors.ts'

/** What a line allows. */
export interface LookupLineOptions {
  /** Most look-ups at one moment. */
  readonly atOnce: number
  /** Most that wait for their turn; the next one is refused. */
  readonly waiting: number
}

/** Look-ups one after the other, so many at once, in the order in which they came. */
export class LookupLine {
  readonly #options: LookupLineOptions
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(options: LookupLineOptions) {
    this.#options = options
  }

  /** Runs `ask` when its turn comes. @throws TNY112 where too many wait already */
  async run<T>(ask: () => Promise<T>): Promise<T> {
    const { atOnce, waiting } = this.#options
    if (this.#running < atOnce) this.#running += 1
    else {
      if (this.#waiting.length >= waiting) throw new TenantryError('TNY112', { params: { max: waiting } })
      // Whoever ends hands its place on, so that nobody can come in between.
      await new Promise<void>((turn) => this.#waiting.push(turn))
    }
    try {
      return await ask()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }
}
