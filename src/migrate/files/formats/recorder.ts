/** Stands in for a database while a migration in code runs: notes what it sends, and has no rows to give. */
import { TenantryError } from '../../../core/errors.ts'
import type { SqlPart } from './migration-source.ts'

/** What a migration sent, in order. */
export interface Recorder {
  readonly parts: readonly SqlPart[]
  /** Notes a text; `at` is an error made where the migration asked for it, whose stack tells the line. */
  record(text: string, at?: Error): void
  /** What a query gives: to read anything of it is refused. */
  readonly rows: unknown
  /** TNY410 for something that needs the database. */
  refuse(what: string): TenantryError
  /** Something whose every use is refused: `driver`, `manager`. */
  refusing(what: string): unknown
  /** @throws TNY410 where something was refused, even if the migration caught it. */
  settle(): void
}

const ADVICE =
  'It is turned into SQL once, without a database, and so cannot depend on rows: write it as statements that do ' +
  '(UPDATE … FROM, INSERT … SELECT, IF EXISTS, a DO block), or do the rest in the application.'

/** @param path the migration's file, to be found in stacks; `file` is its name for messages. */
export function createRecorder(path: string, file: string): Recorder {
  const parts: SqlPart[] = []
  let refusal: TenantryError | undefined

  function refuse(what: string): TenantryError {
    const line = lineIn(new Error('here'), path)
    const reason = line === undefined ? what : `${what} (line ${line})`
    return (refusal ??= new TenantryError('TNY410', { params: { file, reason, advice: ADVICE } }))
  }
  function refusing(what: string): unknown {
    const trap = (): never => {
      throw refuse(what)
    }
    return new Proxy(() => undefined, {
      // A promise asks for `then` before it gives its value away; inspection asks for symbols.
      get: (_, key) => (key === 'then' || typeof key === 'symbol' ? refuseIteration(key, trap) : trap()),
      has: trap,
      ownKeys: trap,
      apply: trap,
      getOwnPropertyDescriptor: trap,
    })
  }
  return {
    parts,
    record: (text, at = new Error('here')) => void parts.push({ text, line: lineIn(at, path) }),
    rows: refusing('it reads the rows of a query'),
    refuse,
    refusing,
    settle() {
      if (refusal !== undefined) throw refusal
    },
  }
}

function refuseIteration(key: string | symbol, trap: () => never): undefined {
  return key === Symbol.iterator || key === Symbol.toPrimitive ? trap() : undefined
}

/** The line of the topmost frame in the migration's own file. */
export function lineIn(error: Error, path: string): number | undefined {
  for (const frame of (error.stack ?? '').split('\n')) {
    const at = frame.indexOf(path)
    const line = at < 0 ? null : /^(?:\?[^:)]*)?:(\d+):\d+/.exec(frame.slice(at + path.length))
    if (line !== null) return Number(line[1])
  }
  return undefined
}
