/** Migrations of the whole fleet: one object, made of parts that each have a file of their own. */
import type { TenantMigrator } from '../core/migrator.ts'
import { type FleetCompile, fleetCompile } from './baseline/fleet-compile.ts'
import { type FleetDrift, fleetDrift } from './drift/fleet-drift.ts'
import { type FleetBaseline, fleetBaseline } from './fleet/take-over-fleet.ts'
import { type FleetRuns, fleetRuns } from './fleet/fleet-runs.ts'
import { type FleetPlans, fleetPlans } from './plan/fleet-plans.ts'
import { homeMigrator } from './migrate-home.ts'
import { type MigrationsOptions, openProject } from './migration-project.ts'

/** Migrations of one database. */
export interface Migrations
  extends FleetRuns, FleetPlans, FleetBaseline, FleetCompile, FleetDrift, TenantMigrator {}

/**
 * Wires migrations to a database and its tenants.
 * @example
 * const migrations = createMigrations({ db, homes, folders: { tenant: 'migrations/tenant' } })
 * const report = await migrations.up()
 */
export function createMigrations(options: MigrationsOptions): Migrations {
  const project = openProject(options)
  return {
    ...fleetRuns(project),
    ...fleetPlans(project),
    ...fleetBaseline(project),
    ...fleetCompile(project),
    ...fleetDrift(project),
    ...homeMigrator(project),
  }
}
