/** Whether a session still has the settings that it began with, as far as the server tells without being asked. */

/** Of node-postgres' protocol layer. */
interface Reports {
  on(
    event: 'parameterStatus',
    listener: (report: { parameterName: string; parameterValue: string }) => void,
  ): void
}

/**
 * How texts are read, how values are written, and where tables are looked for (that one from PostgreSQL 18 on).
 * Source: PostgreSQL manual, 54.2.7 Asynchronous Operations.
 */
const WATCHED = new Set([
  'standard_conforming_strings',
  'search_path',
  'client_encoding',
  'DateStyle',
  'IntervalStyle',
  'TimeZone',
])

/**
 * A function of the application's can set something for its session, which no guard sees and which would go on to the next
 * tenant. The server reports some settings whenever they have changed, so that looking costs nothing.
 */
export class LeftSettings {
  readonly #first = new Map<string, string>()
  readonly #changed = new Set<string>()

  /** @param reports of a connection that has not begun yet. */
  constructor(reports: Reports) {
    reports.on('parameterStatus', ({ parameterName: name, parameterValue: value }) => {
      if (!WATCHED.has(name)) return
      const first = this.#first.get(name)
      if (first === undefined) this.#first.set(name, value)
      else if (value === first) this.#changed.delete(name)
      else this.#changed.add(name)
    })
  }

  /** Inside a transaction its own settings count too; what it leaves is known at its end. */
  get isAltered(): boolean {
    return this.#changed.size > 0
  }
}
