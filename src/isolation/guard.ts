/** The SQL guard: which statements may run for a tenant. It closes what roles leave open (SET ROLE, DO, …). */
import { LRUCache } from 'lru-cache'
import { TenantryError } from '../core/errors.ts'
import type { GuardMode, GuardPolicy, Handling, StatementGuard } from '../core/guard.ts'
import { completeOnConflict } from '../sql/on-conflict.ts'
import { createParser } from '../sql/parser.ts'
import { readStatement, type Statement } from '../sql/statement.ts'
import { centralProblem } from './guard/central-rules.ts'
import { sharedProblem, tenantProblem } from './guard/tenant-rules.ts'

/** Verdicts are kept for this many characters of SQL in all; longer texts than the second are read each time. */
const CACHE_CHARACTERS = 8_000_000
const LONGEST_CACHED_TEXT = 100_000

/** What a guard does with what it finds. */
export interface GuardOptions {
  /** `report` lets through what the gateway can carry, and tells; for applications that move in. Default: `enforce`. */
  readonly policy?: GuardPolicy | undefined
}

interface Verdict {
  readonly handling: Handling
  /** Why it would be refused, where the guard only reports. */
  readonly reported: string | undefined
}

/** A guard with a cache of its own. */
export function createGuard({ policy = 'enforce' }: GuardOptions = {}): StatementGuard {
  const parser = createParser()
  const denied = new Set<string>()
  const verdicts: Record<GuardMode, LRUCache<string, Verdict>> = {
    tenant: createTextCache(),
    central: createTextCache(),
  }
  const completed = createTextCache<string>((result) => result.length)

  /** Only a text with the word needs to be read: it cannot be escaped. */
  function requireNoLock(text: string): void {
    const reason = /\block\b/i.test(text) ? sharedProblem(readStatement(text, parser)) : undefined
    if (reason !== undefined && policy !== 'report') throw refusal(reason)
  }

  function judge(text: string, mode: GuardMode): Verdict {
    const statement = readStatement(text, parser)
    if (mode === 'central') {
      const reason = centralProblem(statement)
      if (reason !== undefined) throw refusal(reason)
      return { handling: handlingOf(statement), reported: undefined }
    }
    const problem = tenantProblem(statement, denied)
    if (problem !== undefined && (policy !== 'report' || !problem.carried)) throw refusal(problem.reason)
    return { handling: handlingOf(statement), reported: problem?.reason }
  }
  return {
    load: () => parser.load(),
    check(text, mode, report) {
      const cached = verdicts[mode].get(text)
      const verdict = cached ?? judge(text, mode)
      if (cached === undefined && text.length <= LONGEST_CACHED_TEXT) verdicts[mode].set(text, verdict)
      if (verdict.reported !== undefined) report?.(refusal(verdict.reported))
      return verdict.handling
    },
    shared(text) {
      const cached = completed.get(text)
      if (cached !== undefined) return cached
      requireNoLock(text)
      const result = completeOnConflict(text, parser)
      if (text.length <= LONGEST_CACHED_TEXT) completed.set(text, result)
      return result
    },
    common: requireNoLock,
    deny(names) {
      for (const name of names) denied.add(name)
      verdicts.tenant.clear()
    },
  }
}

function createTextCache<V extends object | string>(
  sizeOf: (value: V) => number = () => 0,
): LRUCache<string, V> {
  return new LRUCache({
    maxSize: CACHE_CHARACTERS,
    sizeCalculation: (value, text) => text.length + sizeOf(value) + 100,
  })
}

function refusal(reason: string): TenantryError {
  return new TenantryError('TNY204', { params: { reason } })
}

function handlingOf(statement: Statement): Handling {
  switch (statement.kind) {
    case 'begin':
    case 'commit':
    case 'rollback':
    case 'set-transaction':
    case 'call':
    case 'copy-in':
    case 'copy-out':
      return statement.kind
    case 'savepoint':
    case 'cursor':
    case 'set-local':
      return 'in-transaction'
    case 'show':
      return 'introspection'
    default:
      return isVersionQuestion(statement) ? 'introspection' : 'send'
  }
}

/** `select version()`, which Knex, TypeORM and others ask at start. */
function isVersionQuestion({ node, functions, traits }: Statement): boolean {
  return node === 'SelectStmt' && !traits.has('reads') && functions.size === 1 && functions.has('version')
}
