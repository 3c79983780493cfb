/** Finds PgBouncer for tests and benchmarks: the installed one, or the newest of Debian, unpacked and not installed. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, join, resolve } from 'node:path'

/** A PgBouncer that runs on this machine. */
export interface PgBouncerProgram {
  /** The program, with the words that must stand before it. */
  readonly command: readonly [string, ...string[]]
  /** As in 1.18.0. */
  readonly version: string
  /** From 1.21 on it carries named statements from one server connection to the next. */
  readonly carriesNames: boolean
}

/** Where root keeps what other accounts must be able to run; an ordinary user keeps it in the project. */
const SHARED_CACHE = '/var/cache/tenantry'
const OWN_CACHE = resolve(import.meta.dirname, '../.tenantry')

/** `undefined` where it is not installed (Debian: `apt-get install pgbouncer`). */
export function findInstalledPgBouncer(): PgBouncerProgram | undefined {
  // Debian keeps it in /usr/sbin, which is not on everybody's path.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  const file = folders.map((folder) => join(folder, 'pgbouncer')).find((path) => existsSync(path))
  return file === undefined ? undefined : examine([file])
}

/**
 * One that carries named statements: the installed one if it does, else the one of Debian's stable release, which is
 * fetched once and kept.
 * @throws Error where there is none and none can be fetched.
 */
export function findNamingPgBouncer(onProgress: (line: string) => void): PgBouncerProgram {
  const installed = findInstalledPgBouncer()
  if (installed?.carriesNames === true) return installed
  const cache = process.getuid?.() === 0 ? SHARED_CACHE : OWN_CACHE
  const folder = join(cache, 'pgbouncer')
  if (!existsSync(folder)) {
    onProgress('fetching PgBouncer from Debian')
    mkdirSync(cache, { recursive: true })
    // Whatever umask this process has: PgBouncer refuses root, and runs as somebody who must get here.
    chmodSync(cache, 0o755)
    fetchFromDebian(folder)
  }
  return examine(unpackedCommand(folder))
}

function examine(command: PgBouncerProgram['command']): PgBouncerProgram {
  const [file, ...words] = command
  const said = execFileSync(file, [...words, '--version'], { encoding: 'utf8' })
  const [, version = '', major, minor] = /^PgBouncer ((\d+)\.(\d+)\S*)/.exec(said) ?? []
  return { command, version, carriesNames: Number(major) > 1 || Number(minor) >= 21 }
}

/** By its own loader and libraries: they may be newer than this system's. */
function unpackedCommand(folder: string): PgBouncerProgram['command'] {
  const libraries = readdirSync(join(folder, 'usr/lib'))
    .map((name) => join(folder, 'usr/lib', name))
    .find((path) => existsSync(join(path, 'libc.so.6')))
  const loader = readdirSync(libraries ?? folder).find((name) => name.startsWith('ld-linux'))
  if (libraries === undefined || loader === undefined) throw new Error(`${folder} holds no C library`)
  return [join(libraries, loader), '--library-path', libraries, join(folder, 'usr/sbin/pgbouncer')]
}

/** Needs no root, makes no user, starts no service. Made beside its place, so that a start never meets half of it. */
function fetchFromDebian(folder: string): void {
  const stage = `${folder}.new-${randomBytes(6).toString('hex')}`
  try {
    fetchFrom(findMirror(), stage)
    rmSync(join(stage, 'apt'), { recursive: true })
    chmodSync(stage, 0o755)
    renameSync(stage, folder)
  } catch (cause) {
    // Another process may have been faster; its copy is as good.
    if (existsSync(folder)) return
    throw new Error('no PgBouncer from 1.21 on is here, and none came from Debian', { cause })
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}

/** The machine's own: the first that is configured for its release. */
function findMirror(): string {
  const [, release] = /^VERSION_CODENAME=(\S+)$/m.exec(readFileSync('/etc/os-release', 'utf8')) ?? []
  const format = ['--no-release-info', '--format', '$(RELEASE) $(REPO_URI)', 'Created-By: Packages']
  const targets = execFileSync('apt-get', ['indextargets', ...format], { encoding: 'utf8' }).split('\n')
  const found = targets.map((line) => line.split(' ')).find(([suite]) => suite === release)
  if (found?.[1] === undefined) throw new Error(`apt has no source for the release ${release}`)
  return found[1]
}

function fetchFrom(mirror: string, stage: string): void {
  const apt = join(stage, 'apt')
  for (const name of ['lists/partial', 'cache/archives/partial', 'packages'])
    mkdirSync(join(apt, name), { recursive: true })
  // Signed by Debian, whoever the mirror is.
  const source = `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror} stable main\n`
  writeFileSync(join(apt, 'sources.list'), source, { mode: 0o600 })
  // Nothing counts as installed, so that all that PgBouncer needs is listed.
  writeFileSync(join(apt, 'status'), '')
  const settings = [
    `Dir::Etc::sourcelist=${join(apt, 'sources.list')}`,
    'Dir::Etc::sourceparts=-',
    `Dir::State::lists=${join(apt, 'lists')}`,
    `Dir::State::status=${join(apt, 'status')}`,
    `Dir::Cache=${join(apt, 'cache')}`,
    // The folder is ours alone, which apt's own account may not read.
    'APT::Sandbox::User=',
  ].flatMap((setting) => ['-o', setting])
  const packages = join(apt, 'packages')
  const run = (...words: string[]): string =>
    execFileSync('apt-get', ['-qq', ...settings, ...words], {
      cwd: packages,
      encoding: 'utf8',
      stdio: 'pipe',
    })
  run('update')
  const planned = run('--simulate', '--no-install-recommends', 'install', 'pgbouncer')
  const names = [...planned.matchAll(/^Inst (\S+)/gm)].map(([, name = '']) => name)
  // Scripts of its service need the rest.
  run('download', ...names.filter((name) => /^(pgbouncer$|z?lib)(?!.*perl)/.test(name)))
  for (const name of readdirSync(packages)) execFileSync('dpkg-deb', ['-x', join(packages, name), stage])
}
