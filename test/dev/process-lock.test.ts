/** The lock of a folder: exactly one process takes over from a dead one, however many try at the same moment. */
import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { takeProcessLock } from '../../dev/process-lock.ts'
import { temporaryDir } from './held-server.ts'

const run = promisify(execFile)

test('of six processes that take over a dead claim at once, exactly one gets it', async () => {
  const script = join(import.meta.dirname, 'fixtures/take-lock.ts')
  for (let round = 0; round < 4; round += 1) {
    const folder = join(temporaryDir(), 'lock')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, '3'), JSON.stringify({ pid: process.pid, started: 'another time' }))
    const at = String(Date.now() + 1_000)
    const said = await Promise.all([1, 2, 3, 4, 5, 6].map(() => run(process.execPath, [script, folder, at])))
    const taken = said.filter(({ stdout }) => stdout === 'taken\n')
    expect(taken, said.map(({ stdout }) => stdout).join('')).toHaveLength(1)
  }
})

test('a lock is refused while it is held, by this process as well, and free after release', () => {
  const folder = temporaryDir()
  const lock = takeProcessLock(folder, 'the folder')
  expect(() => takeProcessLock(folder, 'the folder')).toThrow(
    `The embedded PostgreSQL of the folder already runs for process ${process.pid}.`,
  )
  lock.release()
  takeProcessLock(folder, 'the folder').release()
  expect(readdirSync(folder)).toEqual([])
})
