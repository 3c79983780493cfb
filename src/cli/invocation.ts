/** What a command line says before any command looks at it: the options that hold for all of them. */
import { parseArgs } from 'node:util'

/** A command line, taken apart. */
export interface Invocation {
  /** What the command parser reads. */
  readonly args: readonly string[]
  /** What follows `--` after exec and psql: another program's words, never ours. */
  readonly rest: readonly string[] | undefined
  readonly json: boolean
  readonly debug: boolean
  /** The file of --config, as written. */
  readonly config: string | undefined
}

/** Commands whose words after `--` belong to the program that they run. */
const WRAPPERS = ['exec', 'psql']

/**
 * Reads the global options ahead of the command parser: how its own complaints are shown depends on them, and it
 * would take `--json` after `--` for ours.
 */
export function readInvocation(argv: readonly string[]): Invocation {
  const end = argv.indexOf('--')
  const head = end === -1 ? [...argv] : argv.slice(0, end)
  const wraps = end !== -1 && head.some((word) => WRAPPERS.includes(word))
  const { values } = parseArgs({
    args: head,
    strict: false,
    options: { json: { type: 'boolean' }, debug: { type: 'boolean' }, config: { type: 'string' } },
  })
  return {
    args: wraps ? head : [...argv],
    rest: wraps ? argv.slice(end + 1) : undefined,
    json: values.json === true,
    debug: values.debug === true,
    config: typeof values.config === 'string' ? values.config : undefined,
  }
}
