/** The embedded server that test runs share: started once, gone with the last of them, whatever way they end. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterAll, afterEach, expect, test } from 'vitest'
import { keptFolder } from '../../dev/kept-server.ts'
import { clusterFolder, readPassword } from '../../dev/data-folder.ts'
import { endProcessesOf, type Program, processesOf, RUN, startProgram } from '../support/process.ts'
import { waitFor } from '../support/wait-for.ts'
import { writeMigrations } from './sample-database.ts'

const FILE = fileURLToPath(new URL('fixtures/test-file.ts', import.meta.url))
// A folder of temporary files of its own is a server of its own.
const temporary = mkdtempSync(join(tmpdir(), 'tny-'))
const folder = join(temporary, keptFolder().slice(tmpdir().length))
const migrations = writeMigrations()
const programs: Program[] = []

function start(): Program {
  const program = startProgram([...RUN, FILE], { TMPDIR: temporary, MIGRATIONS: join(migrations, 'tenant') })
  programs.push(program)
  return program
}

/** Its server's port, and its database. */
async function opened(program: Program): Promise<{ port: string; database: string }> {
  await program.said('open', 60_000)
  const [, port = '', database = ''] = /open (\d+) \/(\S+)/.exec(program.stdout()) ?? []
  return { port, database }
}

async function databases(port: string): Promise<string[]> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: Number(port),
    user: 'postgres',
    password: readPassword(clusterFolder(folder, '18')) ?? '',
    database: 'postgres',
  })
  await client.connect()
  const { rows } = await client.query<{ name: string }>('select datname as name from pg_database')
  await client.end()
  return rows.map(({ name }) => name)
}

const running = () => [...processesOf(temporary), ...processesOf(folder)]

afterEach(() => {
  for (const program of programs.splice(0)) program.signal('SIGKILL')
})
afterAll(() => {
  endProcessesOf(folder)
  endProcessesOf(temporary)
  rmSync(temporary, { recursive: true, force: true })
  rmSync(migrations, { recursive: true, force: true })
})

test('processes that start at once share one server; a killed one’s database is removed, and in the end all is gone', async () => {
  const [killed, other] = [start(), start()]
  const [one, two] = await Promise.all([opened(killed), opened(other)])
  expect(two.port).toBe(one.port)
  expect(two.database).not.toBe(one.database)

  killed.signal('SIGKILL')
  await killed.ended
  other.signal('SIGUSR2')
  await other.said('asked 0')
  expect(await databases(one.port)).toContain(one.database)

  const late = start()
  expect((await opened(late)).port).toBe(one.port)
  other.signal('SIGTERM')
  await other.said('dropped')
  const left = await databases(one.port)
  expect(left).not.toContain(one.database)
  expect(left).not.toContain(two.database)
  late.signal('SIGKILL')
  await late.ended
  await waitFor(() => running().length === 0, 40_000)
}, 120_000)

test('where the keeper was killed the next run starts the server anew, on the same data', async () => {
  const first = start()
  await opened(first)
  const keeper = running().find(({ command }) => command.includes('server-keeper'))
  process.kill(keeper?.pid ?? 0, 'SIGKILL')
  first.signal('SIGKILL')
  const second = start()
  const { port, database } = await opened(second)
  second.signal('SIGTERM')
  await second.said('dropped')
  expect(
    (await databases(port)).filter((name) => /^tenantry_test_[0-9a-f]{8}_[0-9a-f]{16}_/.test(name)),
  ).toEqual([])
  expect(database).not.toBe('')
}, 120_000)
