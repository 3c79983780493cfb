/** What takes part in the benchmarks of reads. */
import type { BenchTenant } from '../support/bench-world.ts'

/** One way to read a row of one tenant. */
export interface ReadContender {
  readonly name: string
  /** For the table: what it does, in a few words. */
  readonly about: string
  /** Reads a row by its id and says whose it is. */
  read(tenant: BenchTenant, table: string, id: number): Promise<string | undefined>
  close(): Promise<void>
}

/** The statement of all contenders; `table` is qualified by those that have no search path. */
export function readText(table: string): string {
  return `select id, customer, amount from ${table} where id = $1`
}

/** The columns of a row that are read. */
export interface ReadRow {
  readonly id: string
  readonly customer: string
  readonly amount: string
}
