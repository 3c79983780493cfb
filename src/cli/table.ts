/** Aligned columns for people, cut to the terminal's width. */
import { clean } from './clean-text.ts'
import type { Output } from './output.ts'

/** One column. Free text belongs into the last: nothing is aligned behind it. */
export interface Column<R> {
  readonly title: string
  value(row: R): string | number
}

const GAP = '  '

/** Lines of a table for this output: a heading, then one line a row. Numbers stand right. */
export function renderTable<R>(
  columns: readonly Column<R>[],
  rows: readonly R[],
  { width, style }: Pick<Output, 'width' | 'style'>,
): string {
  const titles = columns.map(({ title }) => title.toUpperCase())
  const cells = rows.map((row) => columns.map(({ value }) => value(row)))
  const widths = titles.map((title, at) =>
    Math.max(title.length, ...cells.map((line) => textOf(line[at]).length)),
  )
  const format = (line: readonly (string | number | undefined)[]): string =>
    fit(
      line
        .map((cell, at) => pad(cell, widths[at] ?? 0))
        .join(GAP)
        .trimEnd(),
      width,
    )
  return [style('bold', format(titles)), ...cells.map(format)].join('\n')
}

/** A date as a cell of a table. */
export function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}

/** Lines of `name  value`, the names aligned. */
export function renderFacts(facts: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...facts.map(([name]) => name.length))
  return facts.map(([name, value]) => `${name.padEnd(width)}${GAP}${clean(value)}`.trimEnd()).join('\n')
}

function textOf(cell: string | number | undefined): string {
  return clean(String(cell ?? ''))
}

function pad(cell: string | number | undefined, width: number): string {
  return typeof cell === 'number' ? textOf(cell).padStart(width) : textOf(cell).padEnd(width)
}

function fit(line: string, width: number | undefined): string {
  return width === undefined || line.length <= width ? line : `${line.slice(0, width - 1)}…`
}
