/** What a benchmark is: a function over the prepared tenants, with a table for people and figures for scripts. */
import type { BenchWorld } from './support/bench-world.ts'

/** From the command line. */
export interface BenchOptions {
  /** Under a minute in all, at the price of noise. */
  readonly quick: boolean
  /** Contenders to measure; all of them where undefined. For profiling. */
  readonly only: readonly string[] | undefined
}

/** What it found. */
export interface BenchFindings {
  /** The first row is the heading. */
  readonly table: readonly (readonly (string | number)[])[]
  readonly figures: Readonly<Record<string, unknown>>
  /** What the goals are about; undefined where a side was not measured. */
  readonly ratio: Readonly<Record<string, number | undefined>>
}

/** Runs on its own server, with nothing else beside it. */
export type Bench = (world: BenchWorld, options: BenchOptions) => Promise<BenchFindings>
