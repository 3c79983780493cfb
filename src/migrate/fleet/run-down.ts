/** `down`: undoes tenant migrations, the newest first. */
import type { MigrationProject } from '../migration-project.ts'
import type { MigrationReport } from './migration-report.ts'
import { cannotStart, type RunOptions } from './run-options.ts'

/** `steps` or `to`, never both. */
export interface DownOptions extends RunOptions {
  /** How many of the newest tenant migrations are undone. */
  readonly steps?: number
  /** The last migration to keep: its name, its file, or its number. */
  readonly to?: string
}

/** See `FleetRuns.down`. */
export async function runDown(_project: MigrationProject, _options: DownOptions): Promise<MigrationReport> {
  throw cannotStart('down is not there yet', 'Wait.')
}
