/** `npm run -s bench -- NAME [--quick]`: one benchmark. The last line on stdout is its result as JSON. */
import { parseArgs } from 'node:util'
import { endWithParent } from '../dev/parent-watch.ts'
import type { Bench } from './bench.ts'
import { fairness } from './fairness.ts'
import { flight } from './flight.ts'
import { guard } from './guard.ts'
import { http } from './http.ts'
import { memory } from './memory.ts'
import { migrate } from './migrate.ts'
import { migrateMemory } from './migrate-memory.ts'
import { migrateNoop } from './migrate-noop.ts'
import { models } from './models.ts'
import { orm } from './orm.ts'
import { pgbouncer } from './pgbouncer.ts'
import { provision } from './provision.ts'
import { query } from './query.ts'
import { resolve } from './resolve.ts'
import { sealed } from './sealed.ts'
import { openWorld } from './support/bench-world.ts'
import { machine, say, showTable } from './support/report.ts'
import { testing } from './testing.ts'
import { transaction } from './transaction.ts'

const BENCHES: Readonly<Record<string, Bench>> = {
  query,
  transaction,
  pgbouncer,
  fairness,
  memory,
  http,
  models,
  sealed,
  guard,
  resolve,
  testing,
  orm,
  flight,
  migrate,
  'migrate-noop': migrateNoop,
  'migrate-memory': migrateMemory,
  provision,
}
const USAGE = `Usage: npm run -s bench -- ${Object.keys(BENCHES).join('|')} [--quick] [--only CONTENDER,…]`

/** The command line is wrong. */
class Misuse extends Error {}

interface Invocation {
  readonly name: string
  readonly bench: Bench
  readonly quick: boolean
  readonly only: readonly string[] | undefined
}

try {
  endWithParent()
  await run(readInvocation())
} catch (error) {
  say(
    `bench: ${error instanceof Misuse ? error.message : String(error instanceof Error ? error.stack : error)}`,
  )
  process.exitCode = error instanceof Misuse ? 2 : 1
}

async function run({ name, bench, quick, only }: Invocation): Promise<void> {
  const startedAt = performance.now()
  const world = await openWorld(say)
  try {
    const { table, figures, ratio } = await bench(world, { quick, only })
    showTable(table)
    const seconds = Math.round((performance.now() - startedAt) / 1000)
    const line = {
      bench: name,
      quick,
      tenants: world.tenants.length,
      ...figures,
      ratio,
      seconds,
      machine: machine(world.serverVersion),
    }
    process.stdout.write(`${JSON.stringify(line)}\n`)
  } finally {
    await world.close()
  }
}

function readInvocation(): Invocation {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } },
    })
    const [name = '', ...rest] = positionals
    const bench = BENCHES[name]
    if (bench === undefined || rest.length > 0) throw new Misuse(USAGE)
    return { name, bench, quick: values.quick, only: values.only?.split(',') }
  } catch (error) {
    throw error instanceof Misuse ? error : new Misuse(`${String(error)}\n${USAGE}`)
  }
}
