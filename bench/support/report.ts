/** What people see (stderr) and what scripts read (the last line of stdout). */
import { arch, availableParallelism, cpus, platform } from 'node:os'

/** One line of progress. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Columns as wide as their widest cell; numbers to the right. */
export function formatTable(rows: readonly (readonly (string | number)[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => String(row[column] ?? '').length)),
  )
  const lines = rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return typeof cell === 'number' ? String(cell).padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd(),
  )
  return lines.join('\n')
}

/** Shows a table. */
export function showTable(rows: readonly (readonly (string | number)[])[]): void {
  say(`\n${formatTable(rows)}\n`)
}

/** Where it was measured. */
export function machine(serverVersion: string): string {
  const [cpu] = cpus()
  return `${availableParallelism()} × ${cpu?.model.trim() ?? arch()}, ${platform()}, Node ${process.version}, PostgreSQL ${serverVersion}`
}
