#!/usr/bin/env node
/** The command `tenantry`: checks the version of Node before anything that an old one could not read is loaded. */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major < 22 || (major === 22 && minor < 18)) {
  console.error(`tenantry: Node.js 22.18 or newer is needed; this is ${process.versions.node}.`)
  process.exitCode = 1
} else {
  const { run } = await import('./run.ts')
  process.exitCode = await run(process.argv.slice(2))
}
