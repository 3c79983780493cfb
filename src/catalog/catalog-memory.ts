/** What a process remembers of the catalog, under the names it was asked for by: bounded, and trusted only while it hears. */
import { LRUCache } from 'lru-cache'
import type { LookupLine } from './lookup-line.ts'
import { RecentChanges } from './recent-changes.ts'

/** What a memory stands on. */
export interface CatalogMemoryOptions<V> {
  /** True while every change of the last second was heard; what is remembered is passed over while it is false. */
  isCurrent(): boolean
  /** Most records; and as many names that nobody has, apart, so that a flood of these drives no record out. */
  readonly max: number
  /** Where names wait that no record is known of. Those of known ones never do. */
  readonly line: LookupLine
  /** Names that a record is found by beside the one it was asked for by. */
  namesOf?(value: V): readonly string[]
}

/** Loads a record from the catalog, in one round trip. */
export type LoadRecord<V> = () => Promise<V | undefined>

/** Counts while `current`. Outdated ones stay under their names, as a sign that these are no strangers'. */
interface Entry<V> {
  readonly value: V
  current: boolean
}

interface Loading<V> {
  readonly answer: Promise<V | undefined>
  /** How many changes had been heard when it was sent; `undefined` while it waits for its turn. */
  sentAt: number | undefined
}

/** Seeing every use would cost more than finding what is used: whatever is used often is seen often enough. */
const USES_SEEN = 1 / 16
/** A record goes by an id, a key and perhaps a domain. */
const NAMES_OF_ONE = 3
/** While nothing can be trusted, how long the catalog is not asked again for a name that nobody had (THREATS I8). */
const ABSENT_MS = 1_000

/** Records by name. All names of one record lead to the same object, until it changes. */
export class CatalogMemory<V extends { readonly id: string }> {
  readonly #options: CatalogMemoryOptions<V>
  readonly #names: LRUCache<string, Entry<V>>
  /** Whatever leaves it is outdated: so a change finds every name of its record by the id alone. */
  readonly #records: LRUCache<string, Entry<V>>
  /** When the catalog last said that nobody has this name. */
  readonly #absent: LRUCache<string, number>
  /** Look-ups under way, so that a hundred requests for one cold name ask once. */
  readonly #loading = new Map<string, Loading<V>>()
  readonly #changes = new RecentChanges()
  #clearedAt = Number.NEGATIVE_INFINITY

  constructor(options: CatalogMemoryOptions<V>) {
    this.#options = options
    this.#names = new LRUCache({ max: options.max * NAMES_OF_ONE })
    this.#records = new LRUCache({ max: options.max, dispose: (entry) => (entry.current = false) })
    this.#absent = new LRUCache({ max: options.max })
  }

  /** From memory, without a promise, where it can be trusted; else from the catalog. @throws what `load` throws, TNY112 */
  locate(name: string, load: LoadRecord<V>): V | undefined | Promise<V | undefined> {
    const entry = this.#names.peek(name)
    if (entry === undefined) return this.#isAbsent(name) ? undefined : this.#load(name, load, false)
    if (!entry.current || !this.#options.isCurrent()) return this.#load(name, load, true)
    if (Math.random() < USES_SEEN) this.#use(name, entry)
    return entry.value
  }

  /** From the catalog, whatever is remembered: for when the database has just refused what memory says. */
  refresh(name: string, load: LoadRecord<V>): Promise<V | undefined> {
    const known = this.#names.get(name)
    if (known !== undefined) this.#records.delete(known.value.id)
    this.#loading.delete(name)
    return this.#load(name, load, known !== undefined)
  }

  /** Forgets the record of this id, and that nobody had these names. Others stay. */
  forget(id: string, names: readonly string[]): void {
    this.#changes.add([id, ...names])
    this.#records.delete(id)
    for (const name of names) this.#absent.delete(name)
  }

  /**
   * Forgets every record: changes may have been missed. That a name was nobody's counts for what is left of its second, so
   * that a flood does not begin anew.
   */
  clear(): void {
    this.#changes.addAll()
    this.#records.clear()
    this.#clearedAt = performance.now()
  }

  /** In use: neither the record nor its name is the next to be forgotten. */
  #use(name: string, entry: Entry<V>): void {
    this.#records.get(entry.value.id)
    this.#names.get(name)
  }

  #isAbsent(name: string): boolean {
    const askedAt = this.#absent.get(name)
    if (askedAt === undefined) return false
    if (askedAt > this.#clearedAt && this.#options.isCurrent()) return true
    return performance.now() - askedAt < ABSENT_MS
  }

  #load(name: string, load: LoadRecord<V>, isKnown: boolean): Promise<V | undefined> {
    const underWay = this.#loading.get(name)
    if (underWay !== undefined) {
      const { sentAt, answer } = underWay
      // Sent before the last change, it may answer with what was before.
      if (sentAt === undefined || sentAt === this.#changes.count) return answer
    }
    const ask = async (): Promise<V | undefined> => {
      const sentAt = this.#changes.count
      loading.sentAt = sentAt
      const askedAt = performance.now()
      const value = await load()
      return value === undefined
        ? this.#rememberAbsent(name, sentAt, askedAt)
        : this.#remember(name, value, sentAt)
    }
    // The first step waits for `loading` to be there.
    const turn = Promise.resolve().then(() => (isKnown ? ask() : this.#options.line.run(ask)))
    const answer = turn.finally(() => {
      if (this.#loading.get(name) === loading) this.#loading.delete(name)
    })
    const loading: Loading<V> = { answer, sentAt: undefined }
    this.#loading.set(name, loading)
    return answer
  }

  #rememberAbsent(name: string, sentAt: number, askedAt: number): undefined {
    if (this.#changes.concern(name, sentAt)) return
    this.#names.delete(name)
    this.#absent.set(name, askedAt)
  }

  #remember(name: string, value: V, sentAt: number): V {
    if (this.#changes.concern(value.id, sentAt)) return value
    const known = this.#records.get(value.id)
    // One object for all names, or a second name would outdate the first.
    const entry = known !== undefined && this.#options.isCurrent() ? known : { value, current: true }
    this.#records.set(value.id, entry)
    for (const each of [name, ...(this.#options.namesOf?.(value) ?? [])]) {
      this.#names.set(each, entry)
      this.#absent.delete(each)
    }
    return entry.value
  }
}
