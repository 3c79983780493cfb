/** Whom the embedded server runs as: ordinary users as themselves, root as another, from any folder. */
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { chooseAccount } from '../../dev/account.ts'
import { findBinaries, findPackage } from '../../dev/binaries.ts'
import { startEmbedded } from '../../dev/embedded.ts'
import { findServerProcesses } from '../../dev/processes.ts'
import { answerOf, dataIn, isRoot, killHolder, spawnHolder, temporaryDir, value } from './held-server.ts'

const NOBODY = { uid: 65_534, gid: 65_534 }

function uidOf(pid: number): number {
  return Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

test('root runs it as an unprivileged user in a folder that others cannot enter, and no other user reads it', async (context) => {
  if (!isRoot) return context.skip('needs root')
  const dir = temporaryDir()
  const server = await startEmbedded({ dir })
  const uid = statSync(dataIn(dir)).uid
  expect(uid).not.toBe(0)
  expect(findServerProcesses(dataIn(dir)).map(uidOf)).toEqual(findServerProcesses(dataIn(dir)).map(() => uid))
  // The unsafe control: the parent really is closed to the user that the server runs as.
  expect(() => execFileSync('ls', [dirname(dir)], { uid, stdio: 'pipe' })).toThrow('Permission denied')
  await value(server.superuserUrl, 'create table kept as select 4 as answer')
  await server.stop()
  // A copy made by root belongs to root, and the folder has another name.
  const copy = temporaryDir()
  cpSync(dir, copy, { recursive: true })
  expect(statSync(dataIn(copy)).uid).toBe(0)
  const moved = await startEmbedded({ dir: copy })
  expect(await value(moved.superuserUrl, 'select answer from kept')).toBe(4)
  await moved.stop()
})

test('an ordinary user runs it as itself, and recovers it after kill -9', async (context) => {
  if (!isRoot) return context.skip('the other tests already run as an ordinary user')
  try {
    execFileSync(process.execPath, ['--version'], { ...NOBODY, cwd: '/', stdio: 'ignore' })
    execFileSync('test', ['-r', import.meta.filename], { ...NOBODY, cwd: '/', stdio: 'ignore' })
  } catch {
    return context.skip('this checkout lies where other users cannot read it')
  }
  const dir = temporaryDir(NOBODY)
  const holder = spawnHolder(dir, NOBODY)
  const { url } = await answerOf(holder)
  await value(url, 'create table kept as select 5 as answer')
  expect(new Set(findServerProcesses(dataIn(dir)).map(uidOf))).toEqual(new Set([NOBODY.uid]))
  await killHolder(holder, dir)
  const next = spawnHolder(dir, NOBODY)
  expect(await value((await answerOf(next)).url, 'select answer from kept')).toBe(5)
  await killHolder(next, dir)
  // Root takes over what that user made, as that user.
  const server = await startEmbedded({ dir })
  expect(await value(server.superuserUrl, 'select answer from kept')).toBe(5)
  expect(statSync(dataIn(dir)).uid).toBe(NOBODY.uid)
  await server.stop()
})

test('programs that the account cannot reach are copied once, whole, to where it can', async (context) => {
  if (!isRoot) return context.skip('needs root')
  const closed = temporaryDir()
  mkdirSync(closed)
  cpSync(findPackage().native, join(closed, 'native'), { recursive: true, verbatimSymlinks: true })
  rmSync(join(closed, 'native/lib/libicuuc.so.60'))
  const source = { ...findPackage(), native: join(closed, 'native') }
  const account = chooseAccount('/nowhere')
  const open = temporaryDir()
  chmodSync(dirname(open), 0o755)
  const bin = findBinaries(source, account, [open])
  expect(bin.startsWith(open)).toBe(true)
  const run = (): string =>
    execFileSync(join(bin, 'postgres'), ['--version'], {
      ...account,
      cwd: '/',
      encoding: 'utf8',
      stdio: 'pipe',
    })
  expect(run()).toContain('PostgreSQL) 18.')
  const { ino } = statSync(bin)
  expect(statSync(findBinaries(source, account, [open])).ino).toBe(ino)
  // A cleaner took a file: the copy is made again.
  rmSync(join(bin, '../lib/libssl.so.1.1'))
  expect(run).toThrow('libssl')
  expect(findBinaries(source, account, [open])).toBe(bin)
  expect(run()).toContain('PostgreSQL) 18.')
  // The links that the package's install script would have made are there as well.
  expect(lstatSync(join(bin, '../lib/libicuuc.so.60')).isSymbolicLink()).toBe(true)
})

test('a copy that another user could have planted is not run', async (context) => {
  if (!isRoot) return context.skip('needs root')
  const closed = temporaryDir()
  mkdirSync(closed)
  cpSync(findPackage().native, join(closed, 'native'), { recursive: true, verbatimSymlinks: true })
  const source = { ...findPackage(), native: join(closed, 'native') }
  const account = chooseAccount('/nowhere')
  const planted = temporaryDir()
  chmodSync(dirname(planted), 0o755)
  const bin = findBinaries(source, account, [planted])
  execFileSync('chown', ['65534', dirname(bin)])
  expect(existsSync(bin)).toBe(true)
  expect(() => findBinaries(source, account, [planted])).toThrow(expect.objectContaining({ code: 'TNY015' }))
  const writable = temporaryDir()
  mkdirSync(writable)
  chmodSync(dirname(writable), 0o755)
  chmodSync(writable, 0o777)
  expect(() => findBinaries(source, account, [writable])).toThrow(expect.objectContaining({ code: 'TNY015' }))
})
