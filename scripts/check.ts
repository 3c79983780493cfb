/** `npm run check`: every check that needs no database, one heading each. `npm run check -- lint types` runs some. */
import { spawnSync } from 'node:child_process'

interface Check {
  name: string
  /** What it holds, for the heading. */
  holds: string
  command: string
  /** What to do where it fails, if a command can. */
  mend?: string
}

const CHECKS: readonly Check[] = [
  {
    name: 'format',
    holds: 'prettier',
    command: 'prettier --check --log-level warn .',
    mend: 'npm run format',
  },
  { name: 'lint', holds: 'oxlint with types', command: 'oxlint --deny-warnings' },
  {
    name: 'types',
    holds: 'tsc, *.test-d.ts included',
    command: ['.', 'examples/orders-nest', 'examples/orders-next']
      .map((project) => `tsc -p ${project}`)
      .join(' && '),
  },
  {
    name: 'layers',
    holds: 'who imports whom',
    command: 'depcruise --output-type err-long src dev examples',
  },
  { name: 'dead', holds: 'unused files, exports, packages', command: 'knip --no-progress' },
  {
    name: 'docs',
    holds: 'generated pages',
    command: ['errors-doc', 'isolation-doc', 'architecture']
      .map((page) => `node scripts/generate-${page}.ts --check`)
      .join(' && '),
    mend: 'npm run docs',
  },
  {
    name: 'lockfile',
    holds: 'complete, without addresses',
    command: 'node scripts/complete-lockfile.ts --check',
    mend: 'npm run lockfile',
  },
  { name: 'package', holds: 'what npm publishes', command: 'node scripts/check-package.ts' },
]

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !CHECKS.some((check) => check.name === name))
if (unknown.length > 0) {
  console.error(
    `no such check: ${unknown.join(', ')}; there are ${CHECKS.map(({ name }) => name).join(', ')}`,
  )
  process.exit(2)
}

const failed: string[] = []
for (const check of CHECKS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  const start = performance.now()
  const run = spawnSync(check.command, { shell: true, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  const ok = run.status === 0
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${check.name}: ${check.holds} (${seconds} s)`)
  if (ok) continue
  failed.push(check.name)
  console.log(`${run.stdout}${run.stderr}`.trimEnd().replace(/^/gm, '     '))
  if (check.mend) console.log(`     → ${check.mend}`)
}

if (failed.length > 0) {
  console.log(`\ncheck failed: ${failed.join(', ')}`)
  process.exitCode = 1
} else {
  console.log('\ncheck passed')
}
