/** What a migration is once it is read and checked, and on which line of its file something stands. */

/** One migration, checked. */
export interface Migration {
  /** As the ledger records it: what the tool that wrote it calls it; the file's name without `.sql` in node-pg-migrate. */
  readonly name: string
  /** The file in its folder, for messages: `tenant/1700000000000_create-orders.sql`. */
  readonly file: string
  /** What runs, marker included. Safe to be followed by other statements after a line break. */
  readonly up: string
  /** The line of the file, from 1, on which `up` begins. */
  readonly line: number
  /** Of code: the line that asked for each statement, where it is known. The lines of `up` are not the file's then. */
  readonly lines?: readonly (number | undefined)[] | undefined
  /** Where each statement of `up` begins, in UTF-16 units. */
  readonly statements: readonly number[]
  /** SHA-256 of `up`, in hexadecimal. */
  readonly checksum: string
}

/** The line of `text`, from 1, on which the UTF-16 offset lies. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

/** The line of the migration's file, from 1, for an offset of its `up`; `undefined` where code does not tell it. */
export function lineInFile({ up, line, lines, statements }: Migration, at: number): number | undefined {
  if (lines === undefined) return line + lineAt(up, at) - 1
  return lines[statements.findLastIndex((start) => start <= at)]
}
