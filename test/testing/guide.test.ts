/** The examples of the guide, run by the runners that they are written for. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readPages } from '../docs/pages.ts'
import { PROJECT } from '../support/process.ts'
import { serverOf } from '../support/versions.ts'

let folder: string
beforeAll(() => {
  // Inside the repository, where 'tenantry' means src/.
  mkdirSync(join(PROJECT, '.tenantry'), { recursive: true, mode: 0o700 })
  folder = mkdtempSync(join(PROJECT, '.tenantry', 'testing-'))
  cpSync(join(PROJECT, 'examples/orders-express/migrations'), join(folder, 'migrations'), { recursive: true })
  const blocks = readPages().find(({ path }) => path === 'docs/guides/testing.md')?.blocks ?? []
  for (const { use, code } of blocks) {
    const [, name] = /^file=(.+)$/.exec(use) ?? []
    if (name !== undefined) writeFileSync(join(folder, name), code)
  }
  writeFileSync(
    join(folder, 'vitest.config.ts'),
    `const conditions = ['tenantry-dev', 'module', 'node', 'development|production']
     export default { resolve: { conditions }, ssr: { resolve: { conditions } }, test: { testTimeout: 30_000 } }`,
  )
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function run(...args: string[]): Promise<{ code: number | null; output: string }> {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: { PATH, HOME, NO_COLOR: '1', TEST_DATABASE_URL: (await serverOf()).superuserUrl },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output }
}

test('Vitest', async () => {
  const { code, output } = await run(
    join(PROJECT, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--config',
    'vitest.config.ts',
  )
  expect(output).toMatch(/Tests +3 passed/)
  expect(code).toBe(0)
}, 60_000)

test('node:test', async () => {
  const { code, output } = await run('--conditions=tenantry-dev', '--test', 'orders.node-test.ts')
  expect(output).toMatch(/pass 3/)
  expect(code).toBe(0)
}, 60_000)
