/** Which names changed of late, so that an answer from before a change is not taken for one from after it. */
import { LRUCache } from 'lru-cache'

/** Names that are remembered one by one; of older changes only the number is, and they count for every name. */
const REMEMBERED = 4_096

/** Counts changes, and tells whether one since a certain count concerns a name. Bounded, however many there are. */
export class RecentChanges {
  #count = 0
  /** Changes up to this one may have concerned any name. */
  #blurred = 0
  readonly #last = new LRUCache<string, number>({
    max: REMEMBERED,
    dispose: (count, _name, reason) => {
      if (reason === 'evict') this.#blurred = Math.max(this.#blurred, count)
    },
  })

  /** How many there were. */
  get count(): number {
    return this.#count
  }

  /** A change of these names. */
  add(names: readonly string[]): void {
    this.#count += 1
    for (const name of names) this.#last.set(name, this.#count)
  }

  /** A change that may concern every name. */
  addAll(): void {
    this.#count += 1
    this.#blurred = this.#count
  }

  /** Whether the name may have changed after the first `count` changes. */
  concern(name: string, count: number): boolean {
    return count < this.#blurred || (this.#last.peek(name) ?? 0) > count
  }
}
