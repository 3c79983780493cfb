/** The embedded server's life: start, stop, death of its owner, and what the next start makes of it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { findEmbedded, startEmbedded } from '../../dev/embedded.ts'
import { findServerProcesses, signal } from '../../dev/processes.ts'
import { FAST, answerOf, dataIn, killHolder, spawnHolder, temporaryDir, until, value } from './held-server.ts'

test('a second start keeps data, password and port, and takes under two seconds', async () => {
  const dir = temporaryDir()
  const first = await startEmbedded({ dir, settings: FAST })
  expect(first).toMatchObject({ host: '127.0.0.1', created: true, version: expect.stringMatching(/^18\./) })
  expect(await value(first.superuserUrl, "select current_setting('fsync')")).toBe('off')
  await value(first.superuserUrl, 'create table kept as select 42 as answer')
  expect(findEmbedded(dir)).toEqual({
    port: first.port,
    superuserUrl: first.superuserUrl,
    pid: process.pid,
  })
  await Promise.all([first.stop(), first.stop()])
  expect(findServerProcesses(dataIn(dir))).toEqual([])
  expect(findEmbedded(dir)).toBeUndefined()

  const began = Date.now()
  const second = await startEmbedded({ dir })
  expect(Date.now() - began).toBeLessThan(2_000)
  expect(second).toMatchObject({ created: false, port: first.port, superuserUrl: first.superuserUrl })
  expect(await value(second.superuserUrl, 'select answer from kept')).toBe(42)
  await second.stop()
})

test('it speaks UTF-8, UTC, SCRAM and checksums, listens on 127.0.0.1 alone and loads extensions', async () => {
  const dir = temporaryDir()
  const server = await startEmbedded({ dir })
  const setting = (name: string): Promise<unknown> => value(server.superuserUrl, `show ${name}`)
  expect(await setting('server_encoding')).toBe('UTF8')
  expect(await setting('timezone')).toBe('UTC')
  expect(await setting('data_checksums')).toBe('on')
  expect(await setting('listen_addresses')).toBe('127.0.0.1')
  expect(await setting('unix_socket_directories')).toBe('')
  const locale = "select datlocprovider::text || datlocale from pg_database where datname = 'postgres'"
  expect(await value(server.superuserUrl, locale)).toBe('bC.UTF-8')
  expect(
    await value(
      server.superuserUrl,
      "select left(rolpassword, 13) from pg_authid where rolname = 'postgres'",
    ),
  ).toBe('SCRAM-SHA-256')
  await value(server.superuserUrl, 'create extension btree_gist')
  await expect(value(server.superuserUrl.replace(/:[^:@]+@/, ':wrong@'), 'select 1')).rejects.toThrow(
    'password',
  )
  for (const file of ['server.json', 'postgres.log', 'postgres18/tenantry.json']) {
    expect(statSync(join(dir, file)).mode & 0o777, file).toBe(0o600)
  }
  await server.stop()
})

test('after kill -9 of its owner no process is left, and the next start recovers what was committed', async () => {
  const dir = temporaryDir()
  const holder = spawnHolder(dir)
  const { url } = await answerOf(holder)
  await value(url, 'create table kept as select 1 as answer')
  expect(findEmbedded(dir)).toMatchObject({ superuserUrl: url, pid: holder.pid })
  expect(findServerProcesses(dataIn(dir)).length).toBeGreaterThan(2)
  await killHolder(holder, dir)
  expect(findEmbedded(dir)).toBeUndefined()
  const server = await startEmbedded({ dir })
  expect(await value(server.superuserUrl, 'select answer from kept')).toBe(1)
  await server.stop()
})

test('a start right after kill -9 waits for the old server, and a dead server itself is recovered from', async () => {
  const dir = temporaryDir()
  const holder = spawnHolder(dir)
  const { url } = await answerOf(holder)
  await value(url, 'create table kept as select 2 as answer')
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  const server = await startEmbedded({ dir })
  for (const pid of findServerProcesses(dataIn(dir))) signal(pid, 'SIGKILL')
  await server.ended
  await server.stop()
  const again = await startEmbedded({ dir })
  expect(await value(again.superuserUrl, 'select answer from kept')).toBe(2)
  await again.stop()
  expect(readFileSync(again.log, 'utf8')).toContain('was not properly shut down; automatic recovery')
})

test('a pid file whose pid belongs to another program by now does not stop a start', async () => {
  const dir = temporaryDir()
  await (await startEmbedded({ dir })).stop()
  // As the server's own user: of another's process PostgreSQL knows that it cannot be a server of its own.
  const { uid, gid } = statSync(dataIn(dir))
  const other = spawn('sleep', ['60'], { uid, gid, cwd: '/' })
  onTestFinished(() => void other.kill('SIGKILL'))
  const lines = [other.pid, dataIn(dir), 1, 1, '', '127.0.0.1', '', 'ready']
  writeFileSync(join(dataIn(dir), 'postmaster.pid'), lines.join('\n'))
  writeFileSync(join(dir, 'lock', '7'), JSON.stringify({ pid: process.pid, started: 'another time' }))
  const server = await startEmbedded({ dir })
  expect(server.created).toBe(false)
  expect(readdirSync(join(dir, 'lock'))).toEqual(['8'])
  await server.stop()
})

test('an initdb that is killed half-way leaves nothing that the next start trusts', async () => {
  const dir = temporaryDir()
  const holder = spawnHolder(dir)
  const stages = (): string[] =>
    existsSync(dir) ? readdirSync(dir).filter((name) => name.includes('.new-')) : []
  await until(() => stages().some((name) => existsSync(join(dir, name, 'data', 'base'))))
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  expect(stages()).toHaveLength(1)
  expect(existsSync(join(dir, 'postgres18'))).toBe(false)
  const server = await startEmbedded({ dir })
  expect(server.created).toBe(true)
  expect(stages()).toEqual([])
  await server.stop()
})

test('of two starts at once one wins and the other is refused with its pid: TNY014', async () => {
  const dir = temporaryDir()
  const results = await Promise.allSettled([startEmbedded({ dir }), startEmbedded({ dir })])
  const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const lost = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []))
  expect(won).toHaveLength(1)
  expect(lost).toMatchObject([
    { code: 'TNY014', message: expect.stringContaining(`process ${process.pid}.`) },
  ])
  const answers = await Promise.all([1, 2, 3].map(() => answerOf(spawnHolder(dir))))
  expect(answers).toEqual([{ code: 'TNY014' }, { code: 'TNY014' }, { code: 'TNY014' }])
  await won[0]?.stop()
  const holders = [1, 2, 3, 4].map(() => spawnHolder(dir))
  const outcomes = await Promise.all(holders.map(answerOf))
  expect(outcomes.filter(({ url }) => url !== undefined)).toHaveLength(1)
  expect(outcomes.filter(({ code }) => code === 'TNY014')).toHaveLength(3)
})

test('a port that was asked for and is taken is named: TNY020; one that was only kept is replaced', async () => {
  const dir = temporaryDir()
  const first = await startEmbedded({ dir })
  await first.stop()
  const other = createServer().listen(first.port, '127.0.0.1')
  await once(other, 'listening')
  await expect(startEmbedded({ dir, port: first.port })).rejects.toMatchObject({ code: 'TNY020' })
  const server = await startEmbedded({ dir })
  expect(server.port).not.toBe(first.port)
  await server.stop()
  other.close()
})
