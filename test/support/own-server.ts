/** A server of a test file's own, for roles that would be in the way of others: they belong to the whole server. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EmbeddedServer, startEmbedded } from '../../dev/embedded.ts'
import { packageOf, type ServerVersion } from './server-versions.ts'

/** Durability costs time, and a crash of the machine ends the tests anyway. */
const SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '200',
}

/** Starts an empty one, in about a second. `stop` removes it; with the process it ends in any case. */
export async function startOwnServer(version: ServerVersion): Promise<EmbeddedServer> {
  const parent = mkdtempSync(join(tmpdir(), 'tenantry-test-'))
  const dir = join(parent, String(version))
  // PostgreSQL 15 runs as a user who must be able to walk to its data, where this process is root.
  chmodSync(parent, 0o711)
  mkdirSync(dir, { mode: 0o711 })
  const server = await startEmbedded({ dir, package: packageOf(version), settings: SETTINGS })
  return {
    ...server,
    async stop() {
      await server.stop()
      rmSync(parent, { recursive: true, force: true })
    },
  }
}
