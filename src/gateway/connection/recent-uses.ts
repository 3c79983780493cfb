/** How often each of any number of texts came lately, as well as 32 kilobytes can tell. */

const SLOTS = 32_768
const MOST = 255
/** After so many uses all counts are halved: what was long ago counts for less and less. */
const HALVED_AFTER = 5_000

/** Where a text is counted. A few others are counted in the same place, and nobody minds. Source: FNV-1a. */
export function slotOf(text: string): number {
  let hash = 0x81_1c_9d_c5
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01_00_01_93)
  return (hash ^ (hash >>> 13)) & (SLOTS - 1)
}

/** Counts, with nothing of the texts kept: whoever sends many fills no memory. */
export class RecentUses {
  readonly #counts = new Uint8Array(SLOTS)
  #uses = 0

  add(slot: number): void {
    const count = this.of(slot)
    if (count < MOST) this.#counts[slot] = count + 1
    this.#uses += 1
    if (this.#uses % HALVED_AFTER === 0) this.#halve()
  }

  of(slot: number): number {
    return this.#counts[slot] ?? 0
  }

  #halve(): void {
    for (let slot = 0; slot < SLOTS; slot += 1) this.#counts[slot] = this.of(slot) >> 1
  }
}
