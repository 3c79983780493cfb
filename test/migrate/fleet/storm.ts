/** A storm: real runner processes over many schemas, killed at random, until so many died; the fleet's history grows meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { FleetWorld } from './fleet-world.ts'

const RUNNER = fileURLToPath(new URL('../fixtures/run-fleet.ts', import.meta.url))

export interface StormOptions {
  readonly kills: number
  /** How many processes at a time. */
  readonly runners: number
  /** From 0 up to 1, for each decision. */
  readonly random: () => number
}

interface RunnerProcess {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  /** Killed once it finished so many targets. */
  readonly killAt: number
  finished: number
}

/** How much of the fleet a runner lives to see, at most, before it is killed. */
const LIFE = 0.4
/** How often there is a new migration before all tenants have the former ones. */
const GROWTH = 0.15

/** @returns how many migrations there are in the end, and how many runners ended by themselves. */
export async function storm(
  world: FleetWorld,
  { kills, runners, random }: StormOptions,
): Promise<{ migrations: number; survivors: number }> {
  let [killed, survivors, migrations] = [0, 0, 1]
  const alive = new Set<RunnerProcess>()
  while (killed < kills) {
    if (random() < GROWTH || migrations === 1) await grow()
    while (alive.size < runners) alive.add(start(world, Math.floor(random() * LIFE * world.tenants.length)))
    const runner = await Promise.race([...alive].map((one) => one.ended.then(() => one)))
    alive.delete(runner)
    if ((await runner.ended) === null) killed++
    else {
      survivors++
      await grow()
    }
  }
  for (const { child } of alive) child.kill('SIGKILL')
  await Promise.all([...alive].map(({ ended }) => ended))
  const last = start(world, Number.POSITIVE_INFINITY)
  expect(await last.ended).toBe(0)
  return { migrations, survivors }

  /** One more migration, of a kind that cannot run twice, and which shows where it did. */
  async function grow(): Promise<void> {
    const number = ++migrations
    const kind = ['create table', 'alter table log add column', 'create index'][number % 3] ?? ''
    const ddl =
      kind === 'create table'
        ? `${kind} s${number} (id int)`
        : kind === 'create index'
          ? `${kind} i${number} on log (step)`
          : `${kind} c${number} text`
    await world.folder.write({
      [`${number}_s.sql`]: `${ddl}; insert into log values ('${String(number).padStart(4, '0')}')`,
    })
  }

  function start({ database, folder, shared, tenants }: FleetWorld, killAt: number): RunnerProcess {
    const job = { url: database.adminUrl, folders: { tenant: folder.path, shared: shared.path }, tenants }
    const child = spawn(process.execPath, [RUNNER, JSON.stringify(job)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)))
    const runner: RunnerProcess = { child, ended, killAt, finished: 0 }
    child.stdout.on('data', (data: Buffer) => {
      const before = runner.finished
      runner.finished += data.toString().split('\n').length - 1
      if (before > killAt || runner.finished < killAt) return
      // Anywhere within the next steps, and not always at the end of one.
      void sleep(random() * 15).then(() => child.kill('SIGKILL'))
    })
    return runner
  }
}

/** Every step exactly once everywhere, in the ledger and in the tables, and every schema the same. */
export async function expectNoDrift({ database, tenants }: FleetWorld, migrations: number): Promise<void> {
  const steps = Array.from({ length: migrations - 1 }, (_, index) => String(index + 2).padStart(4, '0')).join(
    ' ',
  )
  const names = ['1_log', ...Array.from({ length: migrations - 1 }, (_, index) => `${index + 2}_s`)].join(' ')
  const shapes = new Set<string>()
  for (const { home } of tenants) {
    const [row] = await database.sql<{ log: string; ledger: string; shape: string }>(
      `select (select coalesce(string_agg(step, ' ' order by step), '') from ${home.schema}.log) as log,
         (select string_agg(name, ' ' order by run_on, id) from ${home.schema}.pgmigrations) as ledger,
         (select string_agg(format('%s %s %s %s', c.relname, c.relkind, a.attname, a.atttypid::regtype), ','
            order by c.relname, a.attnum)
          from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          where c.relnamespace = $1::regnamespace) as shape`,
      [home.schema],
    )
    expect(row?.log).toBe(steps)
    expect(row?.ledger).toBe(names)
    shapes.add(row?.shape ?? '')
  }
  expect(shapes.size).toBe(1)
}
