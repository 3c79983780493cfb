/** What a file asks for in comments: `-- tenantry: lock-timeout 2s`. */
import { scanSync } from 'libpg-query'
import { invalidMigration } from './formats/migration-source.ts'
import {
  lineAt,
  USUAL_OPTIONS,
  type IgnoredRule,
  type MigrationOptions,
  type SetReference,
} from './migration.ts'

/** What was asked for in one text. */
export interface Directives {
  readonly options: Partial<MigrationOptions>
  readonly after: readonly SetReference[]
  readonly ignores: readonly IgnoredRule[]
}

interface Comment {
  /** Behind `tenantry:`. */
  readonly text: string
  readonly line: number
  /** Whether a statement stands above it. */
  readonly late: boolean
}

const KNOWN =
  'there are no-transaction, lock-timeout, statement-timeout, batch, after, and ignore <rule>: <reason>'

/**
 * The directives of a piece of SQL: line comments above its first statement; `ignore` may stand anywhere. Call
 * `loadParser()` of sql/statement.ts first.
 * @param line the line of the file on which the text begins.
 * @throws TNY401 for one that is not known, or not where it belongs.
 */
export function sqlDirectives(file: string, text: string, line: number): Directives {
  if (!MARK.test(text)) return NONE
  const bytes = Buffer.from(text)
  const comments: Comment[] = []
  let late = false
  for (const token of tokensOf(text)) {
    if (!token.tokenName.endsWith('_COMMENT')) late = true
    else {
      const said = /^--\s*tenantry\s*:(.*)$/i.exec(token.text.trim())?.[1]
      if (said === undefined) continue
      const at = bytes.toString('utf8', 0, token.start).length
      comments.push({ text: said.trim(), line: line + lineAt(text, at) - 1, late })
    }
  }
  return read(file, comments)
}

/**
 * The directives of code: lines of their own, `// tenantry: …`, anywhere in the file.
 * @throws TNY401
 */
export function codeDirectives(file: string, text: string): Directives {
  const comments = text
    .split('\n')
    .map((said, index) => ({ said: /^\s*\/\/\s*tenantry\s*:(.*)$/i.exec(said)?.[1], line: index + 1 }))
    .flatMap(({ said, line }) => (said === undefined ? [] : [{ text: said.trim(), line, late: false }]))
  return read(file, comments)
}

/** How a script runs: what the later one says holds. */
export function toOptions(...said: readonly (Partial<MigrationOptions> | undefined)[]): MigrationOptions {
  return Object.assign({}, USUAL_OPTIONS, ...said) as MigrationOptions
}

/** A text as far as its checksum is concerned: why a rule of the lint does not hold may be said later. */
export function withoutIgnores(text: string): string {
  return text.replace(/^[ \t]*--[ \t]*tenantry[ \t]*:[ \t]*ignore\b[^\n]*\n?/gim, '')
}

const MARK = /--\s*tenantry\s*:/i
const NONE: Directives = { options: {}, after: [], ignores: [] }

/** Nothing of a text that cannot be read: what is wrong with it is told by the check. */
function tokensOf(text: string): ReturnType<typeof scanSync>['tokens'] {
  try {
    return scanSync(text).tokens
  } catch {
    return []
  }
}

function read(file: string, comments: readonly Comment[]): Directives {
  const options: { -readonly [K in keyof MigrationOptions]?: MigrationOptions[K] } = {}
  const after: SetReference[] = []
  const ignores: IgnoredRule[] = []
  for (const { text, line, late } of comments) {
    const refuse = (reason: string): never => {
      throw invalidMigration(file, `${reason} (line ${line})`)
    }
    const [, word = '', rest = ''] = /^(\S*)\s*(.*)$/.exec(text) ?? []
    if (word !== 'ignore' && late) refuse(`"tenantry: ${text}" belongs above the first statement`)
    switch (word) {
      case 'no-transaction':
      case 'batch':
        if (rest !== '') refuse(`"tenantry: ${word}" takes nothing behind it`)
        if (word === 'batch') options.batch = true
        else options.transaction = false
        break
      case 'lock-timeout':
        options.lockTimeoutMs = milliseconds(rest) ?? refuse(`"tenantry: ${text}" ${DURATION}`)
        break
      case 'statement-timeout':
        options.statementTimeoutMs = milliseconds(rest) ?? refuse(`"tenantry: ${text}" ${DURATION}`)
        break
      case 'after': {
        const [, set, name] = /^(shared|tenant)\/(\S+)$/.exec(rest) ?? []
        if (name === undefined)
          refuse(`"tenantry: ${text}" names no migration, as in after shared/0005_plans`)
        else after.push({ set: set === 'shared' ? 'shared' : 'tenant', name, line })
        break
      }
      case 'ignore': {
        const [, rule, reason] = /^([\w-]+)\s*:\s*(\S.*)$/.exec(rest) ?? []
        if (rule === undefined || reason === undefined) {
          refuse(`"tenantry: ${text}" needs a rule and a reason: ignore <rule>: <reason>`)
        } else ignores.push({ rule, reason, line })
        break
      }
      default:
        refuse(`"tenantry: ${text}" is not known; ${KNOWN}`)
    }
  }
  return { options, after, ignores }
}

const DURATION = 'needs a time, such as 500ms, 2s or 5min'

/** The longest that PostgreSQL takes. */
const LONGEST_MS = 2 ** 31 - 1

function milliseconds(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,10})\s*(ms|s|min)$/.exec(text) ?? []
  if (count === undefined) return text === '0' ? 0 : undefined
  const ms = Number(count) * (unit === 'ms' ? 1 : unit === 's' ? 1000 : 60_000)
  return ms <= LONGEST_MS ? ms : undefined
}
