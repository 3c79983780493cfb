/** Asks the lint before a run changes anything. */
import type { Queryable } from '../../core/database.ts'
import type { Migration } from '../files/migration.ts'
import type { Goal } from '../fleet/run-options.ts'
import { lintMigrations } from '../lint/lint-migrations.ts'
import { refusedFindings, requireSound } from '../lint/require-sound.ts'
import type { MigrationProject } from '../migration-project.ts'
import { readPosition } from './fleet-position.ts'
import { ranOf } from './plan-fleet.ts'

/** Both sets, as they were read. */
interface Sets {
  readonly shared: readonly Migration[]
  readonly tenant: readonly Migration[]
}

/**
 * Files in which nothing is wrong cost no question to the database; only where something is, it matters what ran already.
 * @throws TNY434 for what is to run up to the goal.
 */
export async function refuseUnsound(
  { db, homes, lint }: Pick<MigrationProject, 'db' | 'homes' | 'lint'>,
  session: Queryable,
  sets: Sets,
  goal: Goal,
): Promise<void> {
  // By themselves, and with tenants that share tables, files are judged the hardest.
  const worst = await lintMigrations({ ...sets, settings: lint, sharing: 'some', refusedOnly: true })
  if (refusedFindings(worst, lint).length === 0) return
  const position = await readPosition(db, session, homes, sets)
  const read = await lintMigrations({ ...sets, settings: lint, ...ranOf(position), refusedOnly: true })
  requireSound(
    read.filter(({ set, migration }) => sets[set].indexOf(migration) < goal[set]),
    lint,
  )
}
