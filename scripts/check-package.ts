/** Packs the package as npm would publish it, and lets publint and attw judge the tarball. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'tenantry-pack-'))

/** Runs a tool, and shows what it says only where it objects. */
function run(command: string, ...args: string[]): { ok: boolean; stdout: string } {
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  if (status !== 0)
    console.error(`${command}: ${error?.message ?? `exit code ${status}`}\n${stdout}${stderr}`)
  return { ok: status === 0, stdout }
}

try {
  // prepack builds first.
  const pack = run('npm', 'pack', '--silent', '--pack-destination', folder)
  if (pack.ok) {
    const tarball = join(folder, pack.stdout.trim().split('\n').at(-1) ?? '')
    const verdicts = [
      run('publint', '--strict', tarball),
      // The package is ESM; require() of it works in every Node that `engines` allows.
      run('attw', tarball, '--profile', 'esm-only', '--no-emoji', '--exclude-entrypoints', 'package.json'),
    ]
    if (verdicts.some(({ ok }) => !ok)) process.exitCode = 1
  } else {
    process.exitCode = 1
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
