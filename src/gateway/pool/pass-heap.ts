/** A binary heap of what is due: by pass, then by arrival. */

/** Slots count from the top, which precedes all others. */
export class PassHeap<T extends { readonly pass: number; readonly arrival: number }> {
  readonly #items: T[] = []

  at(slot: number): T | undefined {
    return this.#items[slot]
  }

  clear(): T[] {
    return this.#items.splice(0)
  }

  push(item: T): void {
    this.#items.push(item)
    this.#rise(this.#items.length - 1, item)
  }

  take(slot: number): T | undefined {
    const taken = this.#items[slot]
    if (taken === undefined) return undefined
    const last = this.#items.pop() as T
    if (taken !== last) this.#rise(this.#sink(slot), last)
    return taken
  }

  /** Moves the smaller child up, level by level; the slot that is free in the end. */
  #sink(slot: number): number {
    for (;;) {
      const left = this.#items[2 * slot + 1]
      const right = this.#items[2 * slot + 2]
      if (left === undefined) return slot
      const isRight = right !== undefined && precedes(right, left)
      this.#items[slot] = isRight ? right : left
      slot = 2 * slot + (isRight ? 2 : 1)
    }
  }

  #rise(slot: number, item: T): void {
    for (; slot > 0; slot = (slot - 1) >> 1) {
      const parent = this.#items[(slot - 1) >> 1] as T
      if (precedes(parent, item)) break
      this.#items[slot] = parent
    }
    this.#items[slot] = item
  }
}

function precedes(a: { pass: number; arrival: number }, b: { pass: number; arrival: number }): boolean {
  return a.pass < b.pass || (a.pass === b.pass && a.arrival < b.arrival)
}
