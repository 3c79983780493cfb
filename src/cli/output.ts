/** Where words go: one result on stdout, for people or for machines; notices and progress on stderr. */
import { styleText } from 'node:util'
import { clean } from './clean-text.ts'

/** How a command speaks. */
export interface Output {
  /** True where stdout gets one JSON document instead of text. */
  readonly json: boolean
  /** The columns of the terminal on stdout; `undefined` where it is a file or a pipe. */
  readonly width: number | undefined
  /** The command's result; called once. */
  result(document: unknown, forPeople: () => string): void
  /** One line beside the result. */
  notice(line: string): void
  /** What long work is at. On a terminal the line replaces the one before; in a log one comes every five seconds. */
  progress(line: string): void
  /** Removes the line of `progress`, if it stands. */
  settle(): void
  /** Text for stdout in a style, where it is a terminal that shows styles (NO_COLOR is obeyed). */
  style(format: 'bold' | 'dim' | 'green' | 'yellow' | 'red', text: string): string
}

const LOG_INTERVAL_MS = 5_000

/** Output of this process. */
export function createOutput(json: boolean): Output {
  const { stdout, stderr } = process
  // Whoever reads may stop (`| head`): that is no reason to stop working half-way.
  for (const stream of [stdout, stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
    })
  }
  let standing = false
  let logged = Date.now()

  function settle(): void {
    if (standing) stderr.write('\r\x1b[2K')
    standing = false
  }
  return {
    json,
    width: columnsOf(stdout),
    result(document, forPeople) {
      settle()
      stdout.write(`${json ? JSON.stringify(document) : forPeople().trimEnd()}\n`)
    },
    notice(line) {
      settle()
      stderr.write(`${clean(line)}\n`)
    },
    progress(line) {
      if (stderr.isTTY) {
        stderr.write(`\r\x1b[2K${clean(line).slice(0, (columnsOf(stderr) ?? 80) - 1)}`)
        standing = true
      } else if (Date.now() - logged >= LOG_INTERVAL_MS) {
        stderr.write(`${clean(line)}\n`)
        logged = Date.now()
      }
    },
    settle,
    style: (format, text) => (json ? text : styleText(format, text, { stream: stdout })),
  }
}

/** Terminals that do not know their size say 0. */
function columnsOf(stream: NodeJS.WriteStream): number | undefined {
  return stream.isTTY && stream.columns >= 20 ? stream.columns : undefined
}
