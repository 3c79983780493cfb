/** The embedded server's refusals: damaged data, foreign folders, a full disk. One clear sentence each. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startEmbedded } from '../../dev/embedded.ts'
import { dataIn, isRoot, temporaryDir, value } from './held-server.ts'

async function stopped(dir: string): Promise<void> {
  const server = await startEmbedded({ dir })
  await value(server.superuserUrl, 'create table kept as select 3 as answer')
  await server.stop()
}

test.for([
  ['PG_VERSION is missing', (data: string) => rmSync(join(data, 'PG_VERSION'))],
  ['global/pg_control is missing', (data: string) => rmSync(join(data, 'global/pg_control'))],
  ['made by PostgreSQL "17"', (data: string) => writeFileSync(join(data, 'PG_VERSION'), '17\n')],
  [
    'incompatible with server',
    (data: string) => writeFileSync(join(data, 'global/pg_control'), Buffer.alloc(8192, 7)),
  ],
  ['pg_control', (data: string) => truncateSync(join(data, 'global/pg_control'), 100)],
  ['pg_wal', (data: string) => rmSync(join(data, 'pg_wal'), { recursive: true })],
  [
    'checkpoint record',
    (data: string) => {
      for (const name of readdirSync(join(data, 'pg_wal')).filter((file) => /^[0-9A-F]{24}$/.test(file))) {
        writeFileSync(join(data, 'pg_wal', name), Buffer.alloc(16 * 1_048_576))
      }
    },
  ],
  ['postgresql.conf', (data: string) => rmSync(join(data, 'postgresql.conf'))],
  ['folder `data` is missing', (data: string) => rmSync(data, { recursive: true })],
  ['tenantry.json is missing', (data: string) => rmSync(join(dirname(data), 'tenantry.json'))],
  ['tenantry.json is damaged', (data: string) => writeFileSync(join(dirname(data), 'tenantry.json'), 'x')],
] as const)('damaged data are named, and nothing is made anew over them: %s', async ([reason, damage]) => {
  const dir = temporaryDir()
  await stopped(dir)
  damage(dataIn(dir))
  const refusal = { code: 'TNY011', message: expect.stringContaining(reason) }
  await expect(startEmbedded({ dir })).rejects.toMatchObject(refusal)
  await expect(startEmbedded({ dir })).rejects.toMatchObject(refusal)
})

test('reset removes damaged data of ours, and never a folder without our marker', async () => {
  const dir = temporaryDir()
  await stopped(dir)
  rmSync(join(dataIn(dir), 'PG_VERSION'))
  const server = await startEmbedded({ dir, reset: true })
  expect(server.created).toBe(true)
  await expect(value(server.superuserUrl, 'select * from kept')).rejects.toThrow('does not exist')
  await server.stop()
  rmSync(join(dir, 'postgres18', 'tenantry.json'))
  await expect(startEmbedded({ dir, reset: true })).rejects.toMatchObject({ code: 'TNY019' })
  expect(existsSync(dataIn(dir))).toBe(true)
})

test('a place that cannot be a folder, or is somebody else’s file, is refused', async () => {
  const dir = temporaryDir()
  writeFileSync(dir, 'a file')
  await expect(startEmbedded({ dir })).rejects.toMatchObject({ code: 'TNY019' })
  rmSync(dir)
  mkdirSync(dir)
  writeFileSync(join(dir, 'postgres18'), 'a file')
  await expect(startEmbedded({ dir })).rejects.toMatchObject({
    code: 'TNY011',
    message: expect.stringContaining('not a folder'),
  })
})

test('a setting that PostgreSQL refuses is the reason it gives: TNY010', async () => {
  const dir = temporaryDir()
  await expect(startEmbedded({ dir, settings: { no_such_setting: '1' } })).rejects.toMatchObject({
    code: 'TNY010',
    message: expect.stringContaining('no_such_setting'),
  })
})

test('a full disk is named, at the first start and at a later one, and nothing is lost: TNY012', async (context) => {
  if (!isRoot) return context.skip('mounting a small disk needs root')
  const dir = temporaryDir()
  mkdirSync(dir)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=20m,mode=0700', 'tmpfs', dir], { stdio: 'ignore' })
  } catch {
    return context.skip('this system does not let root mount a disk')
  }
  onTestFinished(() => void execFileSync('umount', ['-l', dir]))
  await expect(startEmbedded({ dir })).rejects.toMatchObject({ code: 'TNY012' })
  expect(readdirSync(dir).filter((name) => name.startsWith('postgres18'))).toEqual([])
  execFileSync('mount', ['-o', 'remount,size=100m', dir])
  await stopped(dir)
  expect(() => writeFileSync(join(dir, 'filler'), Buffer.alloc(120 * 1_048_576))).toThrow('ENOSPC')
  await expect(startEmbedded({ dir })).rejects.toMatchObject({ code: 'TNY012' })
  rmSync(join(dir, 'filler'))
  const server = await startEmbedded({ dir })
  expect(await value(server.superuserUrl, 'select answer from kept')).toBe(3)
  await server.stop()
})
