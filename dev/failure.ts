/** Turns what the system or PostgreSQL said into the one error that names the cause. */
import { readFileSync, statSync, statfsSync } from 'node:fs'
import { TenantryError } from '../src/core/errors.ts'

// A write that was cut short has no error of its own, only the hint.
const FULL = /No space left on device|Disk quota exceeded|Check free disk space/i
const DAMAGED = new RegExp(
  [
    'control file|checkpoint record|not a valid data directory|incompatible with server|corrupt|incorrect checksum',
    'could not (?:open|read|access|stat) [^"]*"[^"]*":? (?:No such file|read \\d|Is a directory|Not a directory|Invalid)',
    'invalid data in file|bogus data|directory "pg_\\w+" does not exist|lock file "postmaster\\.pid" is empty',
  ].join('|'),
  'i',
)

/** Where the log ends now, so that only what comes after is read as a cause. */
export function logEnd(log: string): number {
  return statSync(log, { throwIfNoEntry: false })?.size ?? 0
}

/** What was written to the log since `from`. */
export function readLog(log: string, from: number): string {
  try {
    return readFileSync(log).subarray(from).toString('utf8')
  } catch {
    return ''
  }
}

function tellingLine(text: string): string | undefined {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  // The first: those after it tell of the consequences.
  const fatal = lines.findIndex((line) => /\b(?:FATAL|PANIC): /.test(line))
  const at = fatal === -1 ? lines.findIndex((line) => /\bERROR: |^initdb: error/.test(line)) : fatal
  const detail = lines[at + 1]?.match(/DETAIL: +(.*)$/)?.[1]
  const line = (at === -1 ? lines.at(-1) : lines[at])?.replace(/^.*?\b(?:FATAL|PANIC|ERROR|error): +/, '')
  return [line, at === -1 ? undefined : detail]
    .filter((part) => part !== undefined)
    .join('; ')
    .replaceAll('/proc/self/cwd', 'data')
    .replace(/\.$/, '')
}

function isFull(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder)
    // The server cannot even log that the disk is full once it is, so the disk itself is asked too.
    return bavail * bsize < 65_536
  } catch {
    return false
  }
}

/** Why PostgreSQL's program failed, from what it printed: TNY012, TNY011 or TNY010. */
export function programFailure(
  said: string,
  where: { folder: string; dir: string; log: string },
): TenantryError {
  const reason = tellingLine(said) || 'it said nothing'
  if (FULL.test(said) || isFull(where.dir))
    return new TenantryError('TNY012', { params: { folder: where.dir } })
  if (DAMAGED.test(reason)) return new TenantryError('TNY011', { params: { folder: where.folder, reason } })
  return new TenantryError('TNY010', { params: { reason, log: where.log } })
}

/** The error for whatever was thrown on the way: a full disk and missing rights are told apart from the rest. */
export function systemFailure(error: unknown, where: { dir: string; log: string }): TenantryError {
  if (error instanceof TenantryError) return error
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const reason = error instanceof Error ? error.message : String(error)
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new TenantryError('TNY012', { params: { folder: where.dir }, cause: error })
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'ENOTDIR' || code === 'EEXIST') {
    return new TenantryError('TNY019', { params: { folder: where.dir, reason }, cause: error })
  }
  return new TenantryError('TNY010', { params: { reason, log: where.log }, cause: error })
}
