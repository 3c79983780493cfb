/** Finds PgBouncer for tests and benchmarks: the installed one, or the newest of Debian, unpacked and not installed. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { unpackDebianPackages } from './debian-packages.ts'

/** A PgBouncer that runs on this machine. */
export interface PgBouncerProgram {
  /** The program, with the words that must stand before it. */
  readonly command: readonly [string, ...string[]]
  /** As in 1.18.0. */
  readonly version: string
  /** From 1.21 on it carries named statements from one server connection to the next. */
  readonly carriesNames: boolean
}

/** Scripts of its service need the rest. */
const PACKAGES = { folder: 'pgbouncer', names: ['pgbouncer'], dependencies: /^z?lib(?!.*perl)/ }

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
  return examine(unpackedCommand(unpackDebianPackages(PACKAGES, onProgress)))
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
