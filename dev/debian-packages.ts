/** Unpacks packages of Debian without installing them: for programs and files that tests and benchmarks need. */
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
import { join, resolve } from 'node:path'

/** Packages that are kept in one folder together. */
export interface DebianPackages {
  /** Of the cache. */
  readonly folder: string
  readonly names: readonly string[]
  /** A name, as in `bookworm`, where their contents must stay the same; `stable` by default. */
  readonly release?: string | undefined
  /** Which packages of all that they need come with them; none by default. */
  readonly dependencies?: RegExp | undefined
}

/** Where root keeps what other accounts must be able to run; an ordinary user keeps it in the project. */
const SHARED_CACHE = '/var/cache/tenantry'
const OWN_CACHE = resolve(import.meta.dirname, '../.tenantry')

/**
 * The folder in which they are unpacked, as if it were `/`. They are fetched once, from the mirror that this machine's
 * own packages come from, and kept.
 * @throws Error where they are not there and cannot be fetched.
 */
export function unpackDebianPackages(wanted: DebianPackages, onProgress: (line: string) => void): string {
  const cache = process.getuid?.() === 0 ? SHARED_CACHE : OWN_CACHE
  const folder = join(cache, wanted.folder)
  if (existsSync(folder)) return folder
  onProgress(`fetching ${wanted.names.join(', ')} from Debian`)
  mkdirSync(cache, { recursive: true })
  // Whatever umask this process has: some programs refuse root, and run as somebody who must get here.
  chmodSync(cache, 0o755)
  fetchFromDebian(folder, wanted)
  return folder
}

/** Needs no root, makes no user, starts no service. Made beside its place, so that a start never meets half of it. */
function fetchFromDebian(folder: string, wanted: DebianPackages): void {
  const stage = `${folder}.new-${randomBytes(6).toString('hex')}`
  try {
    fetchFrom(findMirror(), stage, wanted)
    rmSync(join(stage, 'apt'), { recursive: true })
    chmodSync(stage, 0o755)
    renameSync(stage, folder)
  } catch (cause) {
    // Another process may have been faster; its copy is as good.
    if (existsSync(folder)) return
    throw new Error(`${wanted.names.join(', ')} could not be had from Debian`, { cause })
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

function fetchFrom(mirror: string, stage: string, wanted: DebianPackages): void {
  const { names, release = 'stable', dependencies } = wanted
  const apt = join(stage, 'apt')
  for (const name of ['lists/partial', 'cache/archives/partial', 'packages'])
    mkdirSync(join(apt, name), { recursive: true })
  // Signed by Debian, whoever the mirror is.
  const source = `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror} ${release} main\n`
  writeFileSync(join(apt, 'sources.list'), source, { mode: 0o600 })
  // Nothing counts as installed, so that all that they need is listed.
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
  const needed: string[] = []
  if (dependencies !== undefined) {
    const planned = run('--simulate', '--no-install-recommends', 'install', ...names)
    for (const [, name = ''] of planned.matchAll(/^Inst (\S+)/gm)) {
      if (!names.includes(name) && dependencies.test(name)) needed.push(name)
    }
  }
  run('download', ...names, ...needed)
  for (const name of readdirSync(packages)) execFileSync('dpkg-deb', ['-x', join(packages, name), stage])
}
