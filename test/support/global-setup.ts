/** Embedded servers for the whole run, each with a prepared database that test files clone. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { prepareDatabase } from '../../dev/project.ts'
import { startOwnServer } from './own-server.ts'
import { provideServers } from './server-provider.ts'
import { type ServerVersion, type TestServer, USUAL_VERSION } from './server-versions.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The server of tests that name no version. */
    server: TestServer
    /** Where the others are asked for. */
    servers: string
  }
}

const TEMPLATE = 'tenantry_template'

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const dir = mkdtempSync(join(tmpdir(), 'tenantry-test-'))
  const stops: (() => Promise<void>)[] = []

  async function start(version: ServerVersion): Promise<TestServer> {
    const server = await startOwnServer(version)
    stops.push(() => server.stop())
    const { log, superuserUrl } = server
    const passwords = await prepareDatabase(superuserUrl, { database: TEMPLATE })
    return { version, superuserUrl, log, template: TEMPLATE, passwords }
  }

  project.provide('server', await start(USUAL_VERSION))
  const socket = join(dir, 'servers')
  const provider = await provideServers(socket, start)
  project.provide('servers', socket)
  return async () => {
    await provider.close()
    await Promise.all(stops.map((stop) => stop()))
    rmSync(dir, { recursive: true, force: true })
  }
}
