/** The small shapes through which layers speak to a database without importing a driver. */

/** What a statement returned. */
export interface Rows<R> {
  readonly rows: R[]
  /** Rows read or changed; `null` where the command counts none. */
  readonly rowCount: number | null
}

/** Anything that runs one statement: a pool, a client, a transaction. */
export interface Queryable {
  query<R = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Rows<R>>
}

/**
 * A database as the control plane sees it: the admin login on a direct connection.
 * Statements without values may be several, separated by semicolons.
 */
export interface AdminDatabase extends Queryable {
  /** One transaction on one connection: committed when `fn` resolves, rolled back when it throws. */
  transaction<T>(fn: (tx: Queryable) => Promise<T>): Promise<T>
  /**
   * One connection kept for `fn`, in autocommit: for session advisory locks. What it leaves is discarded.
   * @param settings that the session begins with (`role`, `search_path`), so that statements which must stand alone
   * find them; such a connection is one more than the pool's.
   */
  session<T>(fn: (session: Queryable) => Promise<T>, settings?: Readonly<Record<string, string>>): Promise<T>
  /** The same login in another database of the server: that of a tenant. Closed with this one. */
  inDatabase(name: string): AdminDatabase
  /**
   * The same login and database over connections of its own, `max` at most, so that work over the whole fleet takes none from
   * sign-ups. Whoever asks for it closes it.
   */
  apart(max: number): AdminDatabase
  close(): Promise<void>
}
