/**
 * The documents hold: links lead somewhere, and code runs. The word after ```ts says what a block is: `run` (a
 * page's blocks make one module, whose output is what its ```text prints blocks say), `file=NAME` (a file of the
 * page's project, type-checked; a server.ts is started and asked), none: an illustration.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { request } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findFreePort } from '../../dev/port.ts'
import { seed } from '../../examples/orders-express/seed.ts'
import { createControlPlane } from '../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { type Block, type Page, readPages, targetOf } from './pages.ts'

const root = resolve(import.meta.dirname, '../..')
const sample = join(root, 'examples/orders-express/migrations')
const pages = readPages()
const projects = pages.filter(({ blocks }) => blocks.some(isProjectFile))

let workshop: string
beforeAll(() => {
  // Inside the repository, where 'tenantry' means src/; and in a folder that no tool looks into.
  mkdirSync(join(root, '.tenantry'), { recursive: true, mode: 0o700 })
  workshop = mkdtempSync(join(root, '.tenantry', 'docs-'))
  for (const page of projects) writeProject(page)
})
afterAll(() => rmSync(workshop, { recursive: true, force: true }))

test('every link between documents leads to a file and a heading that exist', () => {
  const byPath = new Map(pages.map((page) => [page.path, page]))
  const broken = pages.flatMap((page) =>
    page.links
      .filter((link) => {
        const { file, anchor } = targetOf(page, link)
        if (!existsSync(join(root, file))) return true
        return anchor !== undefined && byPath.get(file)?.anchors.has(anchor) !== true
      })
      .map((link) => `${page.path}: ${link}`),
  )
  expect(broken).toEqual([])
})

test('every page that the code names exists', () => {
  const missing = globSync(['src/**/*.ts', 'dev/**/*.ts', 'scripts/**/*.ts', 'examples/**/*.ts'], {
    cwd: root,
    // Not ours, and made anew by another test.
    exclude: ['examples/orders-prisma/generated'],
  }).flatMap((file) =>
    [
      ...readFileSync(join(root, file), 'utf8').matchAll(
        /\bdocs\/(?:guides|reference|decisions)\/[\w-]+\.md/g,
      ),
    ]
      .filter(([page]) => !existsSync(join(root, page)))
      .map(([page]) => `${file}: ${page}`),
  )
  expect(missing).toEqual([])
})

test('every file that a document names exists', () => {
  const missing = pages
    .filter(({ path }) => path !== 'CHANGELOG.md')
    .flatMap(({ path }) =>
      [
        ...readFileSync(join(root, path), 'utf8').matchAll(
          /`((?:src|dev|scripts|test|examples)\/[\w./-]+\.\w+)`/g,
        ),
      ]
        .filter(([, file = '']) => !existsSync(join(root, file)))
        .map(([, file]) => `${path}: ${file}`),
    )
  expect(missing).toEqual([])
})

test('every page is in the index, and every word after ```ts is a known one', () => {
  const index = pages.find(({ path }) => path === 'docs/README.md')
  const listed = new Set(index?.links.map((link) => targetOf(index, link).file))
  const decisions = pages.find(({ path }) => path === 'docs/decisions/README.md')
  for (const link of decisions?.links ?? []) listed.add(`docs/decisions/${link}`)
  const documents = pages.map(({ path }) => path).filter((path) => path.startsWith('docs/'))
  expect(documents.filter((path) => path !== index?.path && !listed.has(path))).toEqual([])

  const typescript = pages.flatMap(({ blocks }) => blocks.filter(({ language }) => language === 'ts'))
  expect(typescript.filter(({ use }) => !/^(|run|file=.+)$/.test(use)).map(({ at }) => at)).toEqual([])
})

test('the code of the documents fits the types', async () => {
  const require = createRequire(import.meta.url)
  const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc')
  const config = { extends: '../../tsconfig.json', include: ['**/*.ts'] }
  writeFileSync(join(workshop, 'tsconfig.json'), JSON.stringify(config))
  const { code, output } = await node([tsc, '-p', workshop], workshop)
  expect(output).toBe('')
  expect(code).toBe(0)
}, 120_000)

describe.each(projects.filter(({ blocks }) => blocks.some(isRun)))('$path', (page) => {
  let db: TestDatabase
  beforeAll(async () => {
    db = await databaseFor(page)
  })
  afterAll(() => db.drop())

  test('runs, and prints what it says', async () => {
    const { code, output } = await node(
      ['--conditions=tenantry-dev', join(folderOf(page), 'page.ts')],
      folderOf(page),
      environment(db),
    )
    const expected = page.blocks
      .filter(({ language, use }) => language === 'text' && use === 'prints')
      .map((block) => block.code)
    expect(output).toBe(expected.join(''))
    expect(code).toBe(0)
  }, 60_000)
})

describe.each(projects.filter(({ blocks }) => blocks.some(({ use }) => use === 'file=server.ts')))(
  '$path',
  (page) => {
    let db: TestDatabase
    beforeAll(async () => {
      db = await databaseFor(page)
    })
    afterAll(() => db.drop())

    test('its server answers each tenant with its own rows, and strangers with 404', async () => {
      const port = (await findFreePort()) ?? 0
      const file = join(folderOf(page), 'listening.ts')
      const text = readFileSync(join(folderOf(page), 'server.ts'), 'utf8')
      expect(text).toContain('app.listen(3000)')
      writeFileSync(file, text.replace('app.listen(3000)', `app.listen(${port})`))
      const server = spawn(process.execPath, ['--conditions=tenantry-dev', file], {
        env: { ...process.env, ...environment(db) },
        stdio: 'ignore',
      })
      try {
        const host = /root: '([^']+)'/.exec(text)?.[1] ?? ''
        const acme = await ask(port, `acme.${host}`)
        const globex = await ask(port, `globex.${host}`)
        expect([acme.status, globex.status]).toEqual([200, 200])
        expect(customersOf(acme.body)).toContain('Road Runner')
        expect(customersOf(globex.body)).toEqual(['Hank Scorpio', 'Homer Simpson'])
        expect((await ask(port, `nobody.${host}`)).status).toBe(404)
        expect((await ask(port, host)).status).toBe(404)
      } finally {
        server.kill('SIGKILL')
        await once(server, 'exit')
      }
    }, 60_000)
  },
)

function isRun({ language, use }: Block): boolean {
  return language === 'ts' && use === 'run'
}

function isProjectFile({ language, use }: Block): boolean {
  return (language === 'ts' && use === 'run') || use.startsWith('file=')
}

function folderOf(page: Page): string {
  return join(workshop, page.path.replaceAll(/[^\w]+/g, '-'))
}

/** The blocks that run are one module, in the order of the page: later ones use what earlier ones made. */
function writeProject(page: Page): void {
  const write = (name: string, text: string): void => {
    const path = join(folderOf(page), name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  const runs = page.blocks.filter(isRun).map(({ code }) => code)
  if (runs.length > 0) write('page.ts', runs.join('\n'))
  for (const { use, code } of page.blocks) {
    const [, name] = /^file=([\w./-]+)$/.exec(use) ?? []
    if (name !== undefined) write(name, code)
  }
  const migrations = join(folderOf(page), 'migrations/tenant')
  if (!existsSync(migrations)) cpSync(join(sample, 'tenant'), migrations, { recursive: true })
}

/** A database with the tenants of the example, on the page's migrations. */
async function databaseFor(page: Page): Promise<TestDatabase> {
  const db = await createTestDatabase()
  const plane = createControlPlane({
    connection: db.adminUrl,
    migrations: { shared: join(sample, 'shared'), tenant: join(folderOf(page), 'migrations/tenant') },
    seed,
  })
  try {
    await plane.migrate.up()
    await plane.tenants.create({ key: 'acme', name: 'Acme Corporation', plan: 'pro' })
    await plane.tenants.create({ key: 'globex', name: 'Globex', plan: 'free' })
  } finally {
    await plane.close()
  }
  return db
}

function environment(db: TestDatabase): Record<string, string> {
  return { DATABASE_URL: db.appUrl, TENANTRY_ADMIN_URL: db.adminUrl, OWNER_URL: db.superuserUrl }
}

async function node(
  args: string[],
  cwd: string,
  extra: Record<string, string> = {},
): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...process.env, ...extra },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code: code ?? -1, output }
}

interface Answer {
  readonly status: number
  readonly body: string
}

/** GET /orders with a Host of its own; waits until the server is there. */
async function ask(port: number, host: string): Promise<Answer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await new Promise<Answer>((done, fail) => {
        const get = request({ port, host: '127.0.0.1', path: '/orders', headers: { host } }, (response) => {
          let body = ''
          response.setEncoding('utf8').on('data', (text: string) => (body += text))
          response.on('end', () => done({ status: response.statusCode ?? 0, body }))
        })
        get.on('error', fail).end()
      })
    } catch (error) {
      if (attempt === 100) throw error
      await sleep(200)
    }
  }
}

function customersOf(body: string): string[] {
  return (JSON.parse(body) as { customer: string }[]).map(({ customer }) => customer)
}
