/** One additive migration over all tenants: against the same SQL sent raw, and against a loop over node-pg-migrate. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runner } from 'node-pg-migrate'
import pg from 'pg'
import { createControlPlane } from 'tenantry'
import type { Bench } from './bench.ts'
import type { BenchTenant, BenchWorld } from './support/bench-world.ts'
import { say } from './support/report.ts'
import { medians, ratioOf, takeTurns } from './support/rounds.ts'

const WORKERS = 4
/** Of node-pg-migrate: its loop takes minutes for all. */
const SAMPLE = 20
const FOLDER = 'migrate'
/** Nobody else's benchmark looks at it. */
const TABLE = 'files'

interface Contender {
  readonly name: string
  /** @returns milliseconds for all tenants */
  run(round: number): Promise<number>
}

/** `npm run -s bench -- migrate`. Every round adds a column and its index, by each contender under a name of its own. */
export const migrate: Bench = async (world, { quick, only }) => {
  const folder = join(world.folder, FOLDER)
  rmSync(folder, { recursive: true, force: true })
  const wanted = [tenantry(world, folder), raw(world, world.tenants), nodePgMigrate(world, folder)]
  const contenders = wanted.filter(({ name }) => only?.includes(name) ?? true)
  await forget(world)
  try {
    // The first makes ledgers and heads, and is not measured.
    await wanted[0]?.run(0)
    const rounds = await takeTurns(contenders, quick ? 2 : 5, async ({ name, run }, round) => {
      const ms = await run(round + 1)
      say(`${name}: ${Math.round(ms)} ms`)
      return ms
    })
    const ms = medians(rounds)
    return {
      table: [['for all tenants', 'ms'], ...Object.entries(ms)],
      figures: { workers: WORKERS, ms },
      ratio: {
        time_vs_raw: ratioOf(rounds, 'tenantry', 'raw'),
        speedup_vs_node_pg_migrate: ratioOf(rounds, 'node_pg_migrate', 'tenantry'),
      },
    }
  } finally {
    await forget(world)
    rmSync(folder, { recursive: true, force: true })
  }
}

function sqlOf(column: string): string {
  return `alter table ${TABLE} add column ${column} text not null default 'none';
create index ${column}_idx on ${TABLE} (${column});`
}

function tenantry(world: BenchWorld, folder: string): Contender {
  return {
    name: 'tenantry',
    async run(round) {
      addFile(join(folder, 'tenantry'), round, `tenantry_${round}`)
      const control = createControlPlane({
        connection: world.adminUrl,
        migrations: { tenant: join(folder, 'tenantry') },
      })
      try {
        const startedAt = performance.now()
        const { failed } = await control.migrate.up({ workers: WORKERS })
        const ms = performance.now() - startedAt
        if (failed[0] !== undefined) throw failed[0].error
        return ms
      } finally {
        await control.close()
      }
    },
  }
}

/** As a script would: one message for each tenant, by a login that is asked for no right. */
function raw(world: BenchWorld, tenants: readonly BenchTenant[]): Contender {
  return {
    name: 'raw',
    async run(round) {
      const sql = sqlOf(`raw_${round}`)
      const waiting = tenants.values()
      const startedAt = performance.now()
      await Promise.all(
        Array.from({ length: WORKERS }, async () => {
          const client = new pg.Client(world.superuserUrl)
          await client.connect()
          for (const { schema } of waiting) {
            await client.query(`begin; set local search_path = ${schema}; ${sql} commit`)
          }
          await client.end()
        }),
      )
      return performance.now() - startedAt
    },
  }
}

function nodePgMigrate(world: BenchWorld, folder: string): Contender {
  return {
    name: 'node_pg_migrate',
    async run(round) {
      const dir = join(folder, 'loop')
      addFile(dir, round, `loop_${round}`)
      const sample = world.tenants.slice(0, SAMPLE)
      const startedAt = performance.now()
      for (const { schema } of sample) {
        await runner({
          databaseUrl: world.superuserUrl,
          dir,
          schema,
          direction: 'up',
          migrationsTable: 'loop_migrations',
          log: () => undefined,
        })
      }
      return ((performance.now() - startedAt) * world.tenants.length) / sample.length
    },
  }
}

function addFile(dir: string, round: number, column: string): void {
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, `${round + 1}_${column}.sql`), sqlOf(column))
}

/** Takes back what the rounds left, so that the tenants are again as they were made. */
async function forget({ superuserUrl, tenants }: BenchWorld): Promise<void> {
  const client = new pg.Client(superuserUrl)
  await client.connect()
  for (const { schema } of tenants) {
    await client.query(`do $$ declare c text; begin
      for c in select format('alter table ${schema}.${TABLE} drop column %I', attname) from pg_attribute
        where attrelid = '${schema}.${TABLE}'::regclass and attnum > 0 and attname ~ '^(tenantry|raw|loop)_' and not attisdropped
      loop execute c; end loop; end $$;
      drop table if exists ${schema}.pgmigrations, ${schema}.loop_migrations`)
  }
  await client.query('truncate tenantry.migration_heads, tenantry.migration_history')
  await client.end()
}
