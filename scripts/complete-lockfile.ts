/**
 * `npm run lockfile`, after a change of dependencies: completes package-lock.json for other machines. npm leaves out
 * each optional platform package that its registry could not serve (mirrors lag behind, and carry few platforms),
 * and then `npm ci` refuses the file everywhere. An entry without integrity is fetched as usual where it is needed.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface Entry {
  version?: string
  resolved?: string
  dev?: boolean
  optional?: boolean
  os?: string[]
  cpu?: string[]
  libc?: string[]
  optionalDependencies?: Record<string, string>
}

const OS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
]
const CPU = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64']
// What the names say beside Node's own words.
const CPU_ALIASES: Record<string, string> = { armhf: 'arm', eabi: 'arm', gnueabihf: 'arm', musleabihf: 'arm' }

/** The platform that a package such as `@scope/binding-linux-x64-musl` is for, by the words of its name. */
function platformOf(name: string): Pick<Entry, 'os' | 'cpu' | 'libc'> {
  const words = name.split(/[/-]/)
  const os = OS.filter((word) => words.includes(word))
  const cpu = [...CPU, ...Object.keys(CPU_ALIASES)].filter((word) => words.includes(word))
  const libc = words.some((word) => word.startsWith('musl')) ? ['musl'] : os[0] === 'linux' ? ['glibc'] : []
  return {
    ...(os.length > 0 && { os }),
    ...(cpu.length > 0 && { cpu: [...new Set(cpu.map((word) => CPU_ALIASES[word] ?? word))] }),
    ...(libc.length > 0 && /gnu|musl/.test(name) && { libc }),
  }
}

const path = join(import.meta.dirname, '..', 'package-lock.json')
const lock = JSON.parse(readFileSync(path, 'utf8')) as { packages: Record<string, Entry> }
const added: string[] = []

for (const [parent, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    const found = [`${parent}/node_modules/${name}`, `node_modules/${name}`].some(
      (key) => key in lock.packages,
    )
    // Native bindings are pinned by the package that loads them; a range would need the registry.
    if (found || !/^\d/.test(range)) continue
    const { cpu, libc, os } = platformOf(name)
    // In npm's order, so that its next install changes nothing.
    lock.packages[`node_modules/${name}`] = {
      version: range,
      ...(cpu && { cpu }),
      ...(entry.dev && { dev: true }),
      ...(libc && { libc }),
      optional: true,
      ...(os && { os }),
    }
    added.push(`${name}@${range}`)
  }
}

if (process.argv.includes('--check')) {
  const addresses = Object.keys(lock.packages).filter((key) => lock.packages[key]?.resolved !== undefined)
  for (const key of addresses)
    console.error(`${key} has a download address: .npmrc of the project must apply`)
  for (const name of added) console.error(`${name} is missing`)
  if (addresses.length + added.length > 0) process.exitCode = 1
} else if (added.length > 0) {
  // npm sorts the same way, the project itself first.
  const sorted = Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en'))
  lock.packages = Object.fromEntries(sorted)
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`)
  console.log(`added ${added.length}:\n  ${added.join('\n  ')}`)
}
