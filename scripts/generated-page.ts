/** A page that a script writes: `--check` compares instead of writing. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = join(import.meta.dirname, '..')

/** The page as it is in the repository, or `undefined` where it was never written. */
export function readPage(path: string): string | undefined {
  try {
    return readFileSync(join(root, path), 'utf8')
  } catch {
    return undefined
  }
}

/** Writes `text` to `path`; with `--check` on the command line it sets the exit code where they differ. */
export function putPage(path: string, text: string): void {
  if (process.argv.includes('--check')) {
    if (readPage(path) === text) return
    console.error(`${path} is not what its source says: run npm run docs`)
    process.exitCode = 1
    return
  }
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}

/** Text made fit for a cell of a Markdown table. */
export function cell(text: string): string {
  // Inside code marks Markdown shows < as it is; outside it would start HTML.
  const parts = text.replaceAll('|', '\\|').replaceAll('\n', ' ').split('`')
  return parts.map((part, index) => (index % 2 === 0 ? part.replaceAll('<', '&lt;') : part)).join('`')
}
