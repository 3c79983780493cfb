/** The table locks of PostgreSQL, from the weakest to the strongest, and whom they keep waiting. */

/** As the manual names them (13.3.1, Table-Level Locks), the weakest first. */
export const LOCK_MODES = [
  'ACCESS SHARE',
  'ROW SHARE',
  'ROW EXCLUSIVE',
  'SHARE UPDATE EXCLUSIVE',
  'SHARE',
  'SHARE ROW EXCLUSIVE',
  'EXCLUSIVE',
  'ACCESS EXCLUSIVE',
] as const

/** A table lock. */
export type LockMode = (typeof LOCK_MODES)[number]

/** Who waits while it is held: nobody's requests, those that write, or all of them. */
export type Blocked = 'nothing' | 'writes' | 'everything'

/**
 * What a statement does to a table while it holds the lock. `brief`: its time does not depend on rows. `scan` reads every
 * row, `index` reads them and writes an index, `rewrite` writes the table and its indexes anew, `rows` changes those that it
 * finds.
 */
export type Work = 'brief' | 'rows' | 'scan' | 'index' | 'rewrite'

const WORK: readonly Work[] = ['brief', 'rows', 'scan', 'index', 'rewrite']

/** What a statement takes of one table, to the end of its transaction. */
export interface TableLock {
  /** As the statement names it; `table of INDEX` where it names an index of a table that is not known. */
  readonly table: string
  readonly mode: LockMode
  readonly work: Work
  /** What makes it less, or more, than this, in words that follow it. */
  readonly note?: string | undefined
}

/** Requests are SELECT, INSERT, UPDATE and DELETE; what conflicts with a lock that they take waits, and all behind it. */
export function blockedBy(mode: LockMode): Blocked {
  if (mode === 'ACCESS EXCLUSIVE') return 'everything'
  return LOCK_MODES.indexOf(mode) >= LOCK_MODES.indexOf('SHARE') ? 'writes' : 'nothing'
}

/** The stronger of two. */
export function strongerMode(a: LockMode, b: LockMode): LockMode {
  return LOCK_MODES.indexOf(a) < LOCK_MODES.indexOf(b) ? b : a
}

/** The longer of two. */
export function longerWork(a: Work, b: Work): Work {
  return WORK.indexOf(a) < WORK.indexOf(b) ? b : a
}

/** One entry a table, in the order in which they were first named, with the strongest lock and the longest work. */
export function mergeLocks(locks: readonly TableLock[]): readonly TableLock[] {
  const merged = new Map<string, TableLock>()
  for (const lock of locks) {
    const before = merged.get(lock.table)
    merged.set(
      lock.table,
      before === undefined
        ? lock
        : {
            table: lock.table,
            mode: strongerMode(before.mode, lock.mode),
            work: longerWork(before.work, lock.work),
            note: before.note ?? lock.note,
          },
    )
  }
  return [...merged.values()]
}
