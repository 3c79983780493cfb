/** One embedded server for the whole run, with a prepared database that each test file clones. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { startEmbedded } from '../../dev/embedded.ts'
import { type LoginPasswords, prepareDatabase } from '../../dev/project.ts'

/** What test files learn of the server. */
export interface TestServer {
  readonly superuserUrl: string
  readonly log: string
  readonly template: string
  readonly passwords: LoginPasswords
}

declare module 'vitest' {
  interface ProvidedContext {
    server: TestServer
  }
}

const TEMPLATE = 'tenantry_template'

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const dir = mkdtempSync(join(tmpdir(), 'tenantry-test-'))
  const server = await startEmbedded({
    dir,
    // Durability costs time, and a crash of the machine ends the tests anyway.
    settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '200' },
  })
  const passwords = await prepareDatabase(server.superuserUrl, { database: TEMPLATE })
  project.provide('server', {
    superuserUrl: server.superuserUrl,
    log: server.log,
    template: TEMPLATE,
    passwords,
  })
  return async () => {
    await server.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}
