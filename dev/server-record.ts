/** `server.json`: where the running server of a folder answers, for other terminals and for the next start. */
import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isAlive } from './processes.ts'
import type { ProcessIdentity } from './processes.ts'

/** What is written down about a server. The password stays with the data. */
export interface ServerRecord {
  readonly port: number
  readonly major: string
  /** The process that started it and stops it. */
  readonly owner: ProcessIdentity
  readonly server: ProcessIdentity
}

const FILE = 'server.json'

/** Replaces the record in one step, so that a reader never sees half of it. */
export function writeRecord(dir: string, record: ServerRecord): void {
  const draft = join(dir, `${FILE}.${randomBytes(6).toString('hex')}`)
  try {
    writeFileSync(draft, `${JSON.stringify(record)}\n`, { mode: 0o600 })
    renameSync(draft, join(dir, FILE))
  } finally {
    rmSync(draft, { force: true })
  }
}

function isRecord(value: unknown): value is ServerRecord {
  if (typeof value !== 'object' || value === null) return false
  return 'port' in value && typeof value.port === 'number' && 'owner' in value && 'server' in value
}

/** The last record, whether its server runs or not. */
export function readRecord(dir: string): ServerRecord | undefined {
  try {
    const record: unknown = JSON.parse(readFileSync(join(dir, FILE), 'utf8'))
    return isRecord(record) ? record : undefined
  } catch {
    return undefined
  }
}

/** The record of a server that runs now, with the process that owns it. */
export function findRunning(dir: string): ServerRecord | undefined {
  const record = readRecord(dir)
  return record !== undefined && isAlive(record.owner) && isAlive(record.server) ? record : undefined
}
