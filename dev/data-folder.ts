/** The folder of one database cluster: made whole or not at all, checked before use, removed only if it is ours. */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { TenantryError } from '../src/core/errors.ts'
import { handOver } from './account.ts'
import type { Account } from './account.ts'
import { programFailure } from './failure.ts'
import { endServerProcesses } from './processes.ts'
import { supervise } from './supervisor.ts'

/** A cluster that is ready to be started. */
export interface DataFolder {
  /** What PostgreSQL calls its data directory. */
  readonly data: string
  /** Of the superuser `postgres`. */
  readonly password: string
}

const MARKER = 'tenantry.json'

/** `<dir>/postgres18` holds the marker, with the password, and the data beside it. */
export function clusterFolder(dir: string, major: string): string {
  return join(dir, `postgres${major}`)
}

/** Where PostgreSQL's data lie in a cluster folder. */
export function dataOf(cluster: string): string {
  return join(cluster, 'data')
}

/**
 * How to name the data folder to a program that starts in it. An unprivileged user cannot walk to a folder
 * below /root, but it can start there if root went there first: this link leads to where a process is.
 */
export function dataArgument(data: string, account: Account | undefined): string {
  return account !== undefined && fs.existsSync('/proc/self/cwd') ? '/proc/self/cwd' : data
}

/** The superuser's password, or undefined where the marker is missing or says none. */
export function readPassword(cluster: string): string | undefined {
  try {
    const marker: unknown = JSON.parse(fs.readFileSync(join(cluster, MARKER), 'utf8'))
    if (typeof marker !== 'object' || marker === null || !('password' in marker)) return undefined
    return typeof marker.password === 'string' ? marker.password : undefined
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EACCES') throw error
    return undefined
  }
}

/** Removes what an interrupted start or reset left behind. */
export async function removeLeftovers(dir: string): Promise<void> {
  for (const name of fs.readdirSync(dir)) {
    if (!/^postgres\d+\.(?:new|old)-[0-9a-f]{12}$/.test(name)) continue
    await endServerProcesses(dataOf(join(dir, name)))
    fs.rmSync(join(dir, name), { recursive: true, force: true })
  }
}

/** Removes a cluster if there is one. Throws TNY019 for a folder that does not carry our marker. */
export function removeCluster(cluster: string): void {
  const found = fs.lstatSync(cluster, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isDirectory() || !fs.existsSync(join(cluster, MARKER))) {
    const reason = `it holds no ${MARKER}, so it was not made by Tenantry and is not removed`
    throw new TenantryError('TNY019', { params: { folder: cluster, reason } })
  }
  // Renamed first: a removal that is interrupted must not leave half a cluster under the real name.
  const old = `${cluster}.old-${randomBytes(6).toString('hex')}`
  fs.renameSync(cluster, old)
  fs.rmSync(old, { recursive: true, force: true })
}

function findDefect(cluster: string, major: string): string | undefined {
  const data = dataOf(cluster)
  if (!fs.lstatSync(cluster).isDirectory()) return 'it is not a folder'
  if (!fs.existsSync(join(cluster, MARKER))) return `${MARKER} is missing`
  if (readPassword(cluster) === undefined) return `${MARKER} is damaged`
  if (!fs.lstatSync(data, { throwIfNoEntry: false })?.isDirectory()) return 'its folder `data` is missing'
  if (!fs.existsSync(join(data, 'PG_VERSION'))) return 'PG_VERSION is missing'
  const version = fs.readFileSync(join(data, 'PG_VERSION'), 'utf8').trim()
  if (version !== major) return `it was made by PostgreSQL "${version.slice(0, 20)}", and this is ${major}`
  if (!fs.existsSync(join(data, 'global', 'pg_control'))) return 'global/pg_control is missing'
  return undefined
}

/** Opens an existing cluster; undefined if there is none. Throws TNY011 if it cannot be a whole one. */
export function openCluster(
  cluster: string,
  major: string,
  account: Account | undefined,
): DataFolder | undefined {
  if (fs.lstatSync(cluster, { throwIfNoEntry: false }) === undefined) return undefined
  const reason = findDefect(cluster, major)
  if (reason !== undefined) throw new TenantryError('TNY011', { params: { folder: cluster, reason } })
  const data = dataOf(cluster)
  // A copy made by root or without modes is put right: the server accepts only its own, private folder.
  if (account !== undefined && fs.statSync(data).uid === 0) handOver(data, account)
  if ((fs.statSync(data).mode & 0o777) !== 0o700) fs.chmodSync(data, 0o700)
  return { data, password: readPassword(cluster) ?? '' }
}

/** What `createCluster` needs to know. */
export interface CreateOptions {
  readonly dir: string
  readonly cluster: string
  readonly log: string
  /** Of PostgreSQL, as in 18. */
  readonly major: string
  /** The folder of `initdb`. */
  readonly bin: string
  readonly account: Account | undefined
}

/** Makes a cluster beside its place and renames it when it is whole: a start never meets half of one. */
export async function createCluster(options: CreateOptions): Promise<DataFolder> {
  const { dir, cluster, log, major, bin, account } = options
  const password = randomBytes(24).toString('base64url')
  const stage = `${cluster}.new-${randomBytes(6).toString('hex')}`
  const data = dataOf(stage)
  const passwordFile = join(stage, 'password')
  try {
    fs.mkdirSync(data, { recursive: true, mode: 0o700 })
    // Before 16 PostgreSQL's programs step aside while they look for themselves, and come back here by name.
    fs.chmodSync(stage, Number(major) >= 16 ? 0o700 : 0o711)
    fs.writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 })
    if (account !== undefined) handOver(stage, account)
    const where = dataArgument(data, account)
    const initdb = supervise({
      file: join(bin, 'initdb'),
      args: [
        ...['-D', where, `--pwfile=${where === data ? passwordFile : `${where}/../password`}`],
        ...['--username=postgres', '--auth=scram-sha-256', '--encoding=UTF8', '--text-search-config=english'],
        '--locale=C',
        // Before 17 there is none: letters beyond ASCII have no upper and lower case there.
        ...(Number(major) >= 17 ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : []),
        // Cleaning is done here: a full disk must still be full when the cause is looked for.
        ...['--no-sync', '--no-clean', '--no-instructions'],
      ],
      cwd: data,
      account,
      log: 'pipe',
    })
    const status = await initdb.ended
    const failure = initdb.failure()
    if (failure !== undefined) throw failure
    if (status !== 0) throw programFailure(initdb.output(), { folder: cluster, dir, log })
    fs.rmSync(passwordFile)
    if (account !== undefined) fs.lchownSync(stage, 0, 0)
    const marker = { madeBy: 'tenantry', format: 1, password }
    fs.writeFileSync(join(stage, MARKER), `${JSON.stringify(marker)}\n`, { mode: 0o600 })
    fs.renameSync(stage, cluster)
  } catch (error) {
    fs.rmSync(stage, { recursive: true, force: true })
    throw error
  }
  return { data: dataOf(cluster), password }
}
