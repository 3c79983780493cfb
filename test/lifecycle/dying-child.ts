/** Runs control work in a process that dies where it is told, and goes on with what it left. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { TenantryError } from '../../src/core/errors.ts'
import type { DeathReport, DyingWork } from './fixtures/dying-process.ts'
import { SAMPLE_MASTER_KEY, type SampleControl } from './sample-control.ts'

const CHILD = fileURLToPath(new URL('fixtures/dying-process.ts', import.meta.url))

/** What the child does, and where it dies; nowhere by default. */
export type Death = Pick<DyingWork, 'action' | 'key'> & Partial<DyingWork>

/** The child's end: killed, or finished, and then what it says of its statements. */
export async function runChild(
  sample: SampleControl,
  death: Death,
): Promise<DeathReport & { readonly killed: boolean }> {
  const work: DyingWork = {
    adminUrl: sample.database.adminUrl,
    migrations: sample.migrations,
    seed: sample.seed,
    masterKey: SAMPLE_MASTER_KEY,
    statement: 0,
    moment: 'answered',
    ...death,
  }
  return new Promise((resolve, reject) => {
    const args = ['--conditions=tenantry-dev', CHILD, JSON.stringify(work)]
    // Stripped types are kept from child to child: starting up is most of what this test costs.
    const env = { ...process.env, NODE_COMPILE_CACHE: join(sample.migrations, '..', 'compile-cache') }
    execFile(process.execPath, args, { env }, (error, stdout, stderr) => {
      if (error === null) resolve({ killed: false, ...(JSON.parse(stdout) as DeathReport) })
      else if (error.signal === 'SIGKILL') resolve({ killed: true, statements: 0, turns: [] })
      else reject(new Error(stderr, { cause: error }))
    })
  })
}

/** The server frees a dead process' lock once it noticed; until then it says TNY305. */
export async function patiently<T>(fn: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await fn()
    } catch (error) {
      if (!(error instanceof TenantryError && error.code === 'TNY305') || attempt > 100) throw error
      await sleep(20)
    }
  }
}
