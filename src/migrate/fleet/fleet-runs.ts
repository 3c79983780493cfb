/** The part of the face that goes over the fleet: up, down, status. */
import type { MigrationProject } from '../migration-project.ts'
import { type DownOptions, runDown } from './run-down.ts'
import { readStatus, type StatusOptions } from './fleet-status.ts'
import type { MigrationReport, MigrationStatus } from './migration-report.ts'
import type { UpOptions } from './run-options.ts'
import { runUp } from './run-up.ts'

export interface FleetRuns {
  /**
   * Runs what is missing, everywhere: the shared set first, then wave by wave. Stopping it anywhere is safe: the next call goes on from
   * there. A tenant that fails does not stop the others; a shared migration that fails does, since tenants may need it. A
   * tenant migration that tenants who share tables cannot have (TNY407) runs nowhere: its file is going to change.
   * @returns what it did; `reportFailure(report)` says whether all is well.
   * @throws TNY401, TNY404, TNY408 to TNY410 and TNY420 before anything ran, TNY402 and TNY403 for the shared set, TNY406
   * where another runner (or node-pg-migrate itself) is at work and `wait` is false.
   */
  up(options?: UpOptions): Promise<MigrationReport>
  /**
   * Undoes tenant migrations, the newest first, in every tenant or those of `only`. The next `up` runs them again.
   * @throws what `up` throws, and for migrations that cannot be undone.
   */
  down(options: DownOptions): Promise<MigrationReport>
  /** @throws TNY401, TNY404, TNY408 to TNY410, TNY420 */
  status(options?: StatusOptions): Promise<MigrationStatus>
}

export function fleetRuns(project: MigrationProject): FleetRuns {
  return {
    up: (options) => runUp(project, options),
    down: (options) => runDown(project, options),
    status: (options) => readStatus(project, options),
  }
}
