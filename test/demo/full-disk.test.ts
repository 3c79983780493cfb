import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startDemo, WITH_BOOTSTRAP } from '../support/demo.ts'
import { endProcessesOf, processesOf } from '../support/process.ts'

/** A file system of its own, the only disk that a test may fill. */
let disk: string
let mounted: boolean

function mount(mebibytes: number): boolean {
  mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', disk]).status === 0
  return mounted
}

beforeEach(() => {
  disk = mkdtempSync(join(tmpdir(), 'tenantry-disk-'))
  mounted = false
})
afterEach(() => {
  endProcessesOf(disk)
  if (mounted) spawnSync('umount', ['--lazy', disk])
  rmSync(disk, { recursive: true, force: true })
})

async function refusal(): Promise<string> {
  const demo = await startDemo(WITH_BOOTSTRAP, disk)
  expect((await demo.ended).code).toBe(1)
  expect(demo.stdout()).toBe('')
  expect(processesOf(disk)).toEqual([])
  return demo.stderr().replace(/^creating .*\n/, '')
}

const SENTENCE = /^demo: The disk is full: no room left for [^\n]*\. Free some space[^\n]*\n$/

test('a disk too small for a new database is told in one sentence', async (context) => {
  if (!mount(24)) return context.skip('only root may mount a disk to fill')
  expect(await refusal()).toMatch(SENTENCE)
})

test('a disk that is full at the next start is told too, and the data are there once there is room', async (context) => {
  if (!mount(200)) return context.skip('only root may mount a disk to fill')
  const first = await startDemo(WITH_BOOTSTRAP, disk)
  await first.said('Ctrl-C')
  first.signal('SIGTERM')
  await first.ended

  const ballast = join(disk, 'ballast')
  const { bavail, bsize } = statfsSync(disk)
  writeFileSync(ballast, Buffer.alloc(bavail * bsize))
  expect(await refusal()).toMatch(SENTENCE)

  rmSync(ballast)
  const again = await startDemo(WITH_BOOTSTRAP, disk)
  await again.said('Acme Corporation')
  again.signal('SIGTERM')
  await again.ended
})
