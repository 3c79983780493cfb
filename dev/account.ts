/** Whom PostgreSQL runs as: it refuses root, so root hands it and its files to an unprivileged user. */
import { existsSync, lchownSync, lstatSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { TenantryError } from '../src/core/errors.ts'

/** A user of the system, by numbers. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

const CANDIDATES = ['postgres', 'nobody']

function findUser(name: string): Account | undefined {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`))
  const [, , uid, gid] = line?.split(':') ?? []
  // Negative numbers (nobody on macOS) are what the 32-bit user ids of the kernel wrap to.
  const account = { uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }
  return line === undefined || account.uid === 0 ? undefined : account
}

/**
 * The account for a data folder: undefined where this process is an ordinary user and runs the server as
 * itself. Root takes the owner of data that exists, else the first of postgres and nobody; TNY016 if there is none.
 */
export function chooseAccount(data: string): Account | undefined {
  if (process.getuid?.() !== 0) return undefined
  const found = existsSync(data) ? lstatSync(data) : undefined
  if (found !== undefined && found.uid !== 0) return { uid: found.uid, gid: found.gid }
  for (const name of CANDIDATES) {
    const account = findUser(name)
    if (account !== undefined) return account
  }
  throw new TenantryError('TNY016', { params: { users: CANDIDATES.join(', ') } })
}

/** Gives a folder and all in it to the account, as after a copy made by root. Never follows links. */
export function handOver(path: string, account: Account): void {
  lchownSync(path, account.uid, account.gid)
  if (!lstatSync(path).isDirectory()) return
  for (const name of readdirSync(path)) handOver(join(path, name), account)
}
