/** Ends a test run in one plain line, `N passed, N failed, N skipped`, and lets no test be skipped silently. */
import type { Reporter, SerializedError, TestModule, Vitest } from 'vitest/node'
import { EXPECTED_SKIPS } from './expected-skips.ts'

interface Counts {
  passed: number
  failed: number
  /** Full title and, where the test gave one (`context.skip('why')`), its note. */
  skipped: { title: string; note: string | undefined }[]
}

function count(modules: readonly TestModule[], unhandled: readonly SerializedError[]): Counts {
  const counts: Counts = { passed: 0, failed: unhandled.length, skipped: [] }
  for (const module of modules) {
    // A file that does not load, or whose beforeAll throws, has errors of its own and no failed test.
    counts.failed += module.errors().length
    for (const suite of module.children.allSuites()) counts.failed += suite.errors().length
    for (const test of module.children.allTests()) {
      const result = test.result()
      if (result.state === 'passed') counts.passed += 1
      else if (result.state === 'failed') counts.failed += 1
      else {
        const note = result.state === 'skipped' ? result.note : undefined
        counts.skipped.push({ title: test.fullName, note })
      }
    }
  }
  return counts
}

function report({ passed, failed, skipped }: Counts): void {
  const unexpected = skipped.filter(({ title }) => EXPECTED_SKIPS[title] === undefined)
  for (const { title, note } of skipped) {
    console.log(`skipped: ${title} (${EXPECTED_SKIPS[title] ?? note ?? 'no reason given'})`)
  }
  if (process.env.CI && unexpected.length > 0) {
    console.log(`${unexpected.length} skipped without a line in test/vitest/expected-skips.ts: CI fails`)
    process.exitCode ||= 1
  }
  if (failed > 0) process.exitCode ||= 1
  console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`)
}

/** A reporter to list last. In watch mode the line follows each run, else it is the last that the process says. */
export function plainLineReporter(): Reporter {
  let counts: Counts = { passed: 0, failed: 0, skipped: [] }
  let watching = false
  return {
    onInit(vitest: Vitest) {
      watching = vitest.config.watch
      if (watching) return
      // At exit, so that neither the other reporters nor the teardown of the server speak after it.
      process.once('exit', (code) => {
        // A global setup that throws, or a filter that finds no file, fails without a test to count.
        report(code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts)
      })
    },
    onTestRunEnd(modules, unhandled) {
      counts = count(modules, unhandled)
      if (watching) report(counts)
    },
  }
}
