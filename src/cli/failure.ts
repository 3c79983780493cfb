/** Turns whatever was thrown into one line for people, one document for machines, and an exit code. */
import { CommanderError } from 'commander'
import { TenantryError } from '../core/errors.ts'
import { sqlState } from '../sql/sql-state.ts'
import { clean } from './clean-text.ts'

/** 0 done, 1 failed, 2 misuse, 3 a health gate stopped it. */
export type ExitCode = 0 | 1 | 2 | 3

/** An error as machines read it. */
export interface ErrorDocument {
  readonly code: string
  readonly message: string
  readonly hint: string
  /** What lies underneath, in the words of the system or the server. */
  readonly cause?: string
}

/** A misuse of the command line. */
export function misuse(reason: string, usage = 'See `tenantry --help`.'): TenantryError {
  return new TenantryError('TNY030', { params: { reason, usage } })
}

/** Gives an error from elsewhere a code of the registry. */
export function toTenantryError(error: unknown): TenantryError {
  if (error instanceof TenantryError) return error
  if (error instanceof CommanderError) {
    if (error.code === 'commander.help') return misuse('it names no command')
    const [reason = '', ...help] = error.message.replace(/^error: /, '').split('\n')
    const usage = help.join(' ').trim() || 'See `tenantry --help`.'
    return misuse(reason.replace(/\.$/, ''), usage.replace(/^\((.*)\)$/, '$1'))
  }
  const reason = (error instanceof Error ? error.message : String(error)).replace(/\.$/, '')
  const state = sqlState(error)
  if (state === undefined) return new TenantryError('TNY032', { params: { reason }, cause: error })
  return new TenantryError('TNY031', { params: { state, reason, advice: adviceFor(state) }, cause: error })
}

/** Misuse is what the caller can only correct by writing another command line. */
export function exitCodeOf(error: TenantryError): ExitCode {
  if (error.code === 'TNY421') return 3
  return error.status === 400 ? 2 : 1
}

export function toDocument(error: TenantryError): ErrorDocument {
  const { code, message } = error
  const cause = causeOf(error)
  return { code, message, hint: hintOf(error), ...(cause === undefined ? {} : { cause }) }
}

/** `tenantry: TNY301: …` and what to do; the stack only where it is asked for. */
export function renderError(error: TenantryError, debug: boolean): string {
  const cause = causeOf(error)
  const lines = [`tenantry: ${error.code}: ${clean(error.message)}`]
  if (cause !== undefined) lines.push(`cause: ${clean(cause)}`)
  lines.push(`hint: ${clean(hintOf(error))}`)
  if (debug) lines.push(...stacksOf(error))
  return lines.join('\n')
}

/** What to do about what lies underneath comes first; TNY402 knows of one command alone, which is another than this. */
function hintOf({ hint, cause }: TenantryError): string {
  return cause instanceof TenantryError && cause.code !== 'TNY402' ? `${cause.hint} ${hint}` : hint
}

/** The cause's own words where they add something. */
function causeOf(error: TenantryError): string | undefined {
  let cause = error.cause
  // Node joins the attempts at several addresses of one host; the first says enough.
  if (cause instanceof AggregateError && cause.message === '') cause = cause.errors[0]
  if (!(cause instanceof Error) || cause.message === '') return undefined
  return error.message.includes(cause.message.replace(/\.$/, '')) ? undefined : cause.message
}

function stacksOf(error: unknown): string[] {
  const stacks: string[] = []
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    if (at.stack !== undefined) stacks.push(at.stack)
  }
  return stacks
}

/** PostgreSQL manual, appendix A. */
function adviceFor(state: string): string {
  switch (state) {
    case '28P01':
    case '28000':
      return 'Check user and password in the connection URL.'
    case '3D000':
      return 'Check the name of the database in the connection URL.'
    case '42501':
      return 'This login may not do that; `tenantry doctor` shows what is missing.'
    case '53300':
      return 'The server has no connection left; close some and try again.'
    default:
      return '`tenantry doctor` shows whether the set-up is sound; --debug shows where this came from.'
  }
}
