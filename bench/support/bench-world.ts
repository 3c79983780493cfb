/** The server of the benchmarks and its tenants; the data stay in `.tenantry/bench` for the next run. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { clusterFolder, dataOf } from '../../dev/data-folder.ts'
import { readServerPid } from '../../dev/processes.ts'
import { prepareEmbedded, type ProjectServer } from '../../dev/project.ts'
import { CATALOG_VERSION } from '../../src/catalog/catalog-migrations.ts'
import { listTenants } from '../../src/catalog/tenant-store.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { prepareTenants } from './prepare-tenants.ts'

/** A tenant, as contenders without a catalog need to know it. */
export interface BenchTenant {
  readonly id: string
  readonly key: string
  readonly schema: string
  readonly role: string
}

/** A running server with tenants. */
export interface BenchWorld {
  /** `tenantry_app`, which may enter tenants' roles and nothing else. */
  readonly appUrl: string
  readonly adminUrl: string
  /** For contenders that know no roles: it skips the checks of rights that a login of their own would pay for. */
  readonly superuserUrl: string
  readonly tenants: readonly BenchTenant[]
  /** As in 18.4. */
  readonly serverVersion: string
  /** PostgreSQL's first process, the parent of all others. */
  readonly serverPid: number
  /** Where benchmarks may keep files of their own. */
  readonly folder: string
  close(): Promise<void>
}

const TENANT_COUNT = 2_500
const FOLDER = resolve(import.meta.dirname, '../../.tenantry/bench')
const MARKER = join(FOLDER, 'prepared.json')
/** What the data are: other data are made anew. Raise the version with each change of how they are made. */
const PREPARED = JSON.stringify({ version: 1, catalog: CATALOG_VERSION, tenants: TENANT_COUNT })

const SETTINGS = {
  // The tables and their indexes fit, as they would on a server that is meant for them.
  shared_buffers: '2GB',
  max_connections: '700',
  max_locks_per_transaction: '1024',
  // What the disk does in a COMMIT is the same for all, and noise.
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  // Both would run in whichever round they please.
  autovacuum: 'off',
  checkpoint_timeout: '1h',
  max_wal_size: '8GB',
}

/** Starts the server; the first time it makes the tenants, which takes half a minute. */
export async function openWorld(onProgress: (line: string) => void): Promise<BenchWorld> {
  const isPrepared = readMarker() === PREPARED
  const options = { dir: FOLDER, settings: SETTINGS, onProgress }
  if (!isPrepared) rmSync(MARKER, { force: true })
  const project = await prepareEmbedded({ ...options, reset: !isPrepared })
  try {
    if (!isPrepared) {
      onProgress(`making ${TENANT_COUNT} tenants (once; they stay in .tenantry/bench)`)
      await prepareTenants(project.superuserUrl, TENANT_COUNT, onProgress)
      writeFileSync(MARKER, PREPARED)
    }
    readAll(join(dataIn(project.server.version), 'base'))
    return { ...worldOf(project), tenants: await readTenants(project.superuserUrl) }
  } catch (error) {
    await project.stop()
    throw error
  }
}

/** The tenant of a number that was chosen below their count. */
export function pickTenant({ tenants }: Pick<BenchWorld, 'tenants'>, index: number): BenchTenant {
  const tenant = tenants[index]
  if (tenant === undefined) throw new RangeError(`no tenant ${index}`)
  return tenant
}

function worldOf(project: ProjectServer): Omit<BenchWorld, 'tenants'> {
  const { appUrl, adminUrl, superuserUrl, server } = project
  return {
    appUrl,
    adminUrl,
    superuserUrl,
    serverVersion: server.version,
    serverPid: readServerPid(dataIn(server.version)) ?? 0,
    folder: FOLDER,
    close: () => project.stop(),
  }
}

async function readTenants(url: string): Promise<BenchTenant[]> {
  const db = createAdminDatabase(url, 1)
  try {
    const tenants = await listTenants(db, { limit: TENANT_COUNT })
    // By number, and not as text: t2 comes before t10.
    return tenants
      .map(({ id, key, home }) => ({ id, key, schema: home.schema, role: home.role }))
      .sort((a, b) => Number(a.key.slice(1)) - Number(b.key.slice(1)))
  } finally {
    await db.close()
  }
}

/** Into the system's page cache: whoever is measured first would else wait for the disk. */
function readAll(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) readFileSync(join(entry.parentPath, entry.name))
  }
}

function dataIn(version: string): string {
  return dataOf(clusterFolder(FOLDER, majorOf(version)))
}

function majorOf(version: string): string {
  return version.split('.')[0] ?? version
}

function readMarker(): string | undefined {
  try {
    return readFileSync(MARKER, 'utf8')
  } catch {
    return undefined
  }
}
