/** `npm run build`: dist/ from src/ and dev/, as it is published. Runs before every `npm pack`. */
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, extname, join } from 'node:path'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')
const require = createRequire(import.meta.url)
const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc')

// Files of an earlier build, whose sources may be gone, would be published too.
rmSync(dist, { recursive: true, force: true })
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
})
// tsc has said why.
if (status !== 0) process.exit(status ?? 1)

// What tsc leaves behind: SQL and templates that code reads from beside itself.
for (const folder of ['src', 'dev']) {
  cpSync(join(root, folder), join(dist, folder), {
    recursive: true,
    filter: (path) => !/\.(ts|mts|cts)$/.test(path) || extname(path) === '',
  })
}

const { bin } = require('../package.json') as { bin: Record<string, string> }
for (const path of Object.values(bin)) {
  const file = join(root, path)
  if (!readFileSync(file, 'utf8').startsWith('#!/usr/bin/env node\n')) {
    console.error(`${path} does not start with #!/usr/bin/env node: no shell could run it`)
    process.exit(1)
  }
  chmodSync(file, 0o755)
}
