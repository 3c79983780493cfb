/** How tests run: unbuilt sources, one PostgreSQL server for the run, a plain last line. */
import { defineConfig } from 'vitest/config'
import { plainLineReporter } from './test/vitest/plain-line-reporter.ts'

// Imports of 'tenantry' and its subpaths reach src/, by the same export condition as `node --conditions`;
// the others are Vite's own for Node, which a list here replaces.
const conditions = ['tenantry-dev', 'module', 'node', 'development|production']

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    // Types are tested by `npm run check`: tsc reads every *.test-d.ts along with the rest.
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // Processes of their own: a test that crashes or leaks a socket harms its file alone.
    pool: 'forks',
    // Two: the server needs the other half of a small machine.
    maxWorkers: 2,
    // Creating databases and killing servers takes seconds on a busy machine.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 30_000,
    reporters: ['default', plainLineReporter()],
  },
})
