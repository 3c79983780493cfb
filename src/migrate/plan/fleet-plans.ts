/** What can be asked of migrations before they run: a plan, and the findings of the lint. */
import type { MigrationLintSettings } from '../../core/migration-lint.ts'
import { byLevel, type LintInput, lintMigrations, type MigrationFinding } from '../lint/lint-migrations.ts'
import type { MigrationProject } from '../migration-project.ts'
import { readPosition } from './fleet-position.ts'
import type { MigrationPlan } from './migration-plan.ts'
import { planFleet, type PlanOptions, ranOf } from './plan-fleet.ts'

export interface MigrationLintOptions {
  /** Only what is to run somewhere, as the database says; all files by themselves, without a database, by default. */
  readonly pending?: boolean
  /** Only these files, by their path or its end; all by default. */
  readonly files?: readonly string[]
}

/** What is known before `up`. */
export interface FleetPlans {
  /**
   * What `up` would do: tenants by version, the SQL that is to run for whom, the locks that each statement takes, how large
   * the tables are that it reads or writes from end to end, and what the lint says. Changes nothing.
   * @throws TNY401, TNY403 for the shared set, TNY404, TNY408 to TNY410, TNY420 for a name in `only` that is nobody's
   */
  plan(options?: PlanOptions): Promise<MigrationPlan>
  /**
   * Findings of the rules in docs/reference/migration-lint.md, the worst first.
   * @throws TNY401, TNY404, TNY408 to TNY410
   */
  lint(options?: MigrationLintOptions): Promise<readonly MigrationFinding[]>
}

export function fleetPlans(project: MigrationProject): FleetPlans {
  return {
    plan: (options) => planFleet(project, options),
    async lint(options = {}) {
      const { db, homes, lint } = project
      const sets = { shared: await project.readShared(), tenant: await project.readTenant() }
      if (options.pending !== true) return lintFiles(sets, lint, options)
      const position = await db.session((session) => readPosition(db, session, homes, sets))
      return lintFiles(sets, lint, options, ranOf(position))
    },
  }
}

/** Findings in files, the worst first. */
export async function lintFiles(
  sets: Pick<LintInput, 'shared' | 'tenant'>,
  settings: MigrationLintSettings,
  { files }: Pick<MigrationLintOptions, 'files'>,
  ran: Pick<LintInput, 'ran' | 'sharing'> = {},
): Promise<readonly MigrationFinding[]> {
  const read = await lintMigrations({ ...sets, settings, ...ran })
  return byLevel(
    read
      .filter(
        ({ migration: { file } }) => files === undefined || files.some((path) => isSameFile(path, file)),
      )
      .flatMap(({ findings }) => findings),
  )
}

/** `db/migrations/tenant/3_x.sql` and `3_x.sql` mean `tenant/3_x.sql`. */
export function isSameFile(path: string, file: string): boolean {
  const given = `/${path.replaceAll('\\', '/')}`
  return given.endsWith(`/${file}`) || `/${file}`.endsWith(given)
}
