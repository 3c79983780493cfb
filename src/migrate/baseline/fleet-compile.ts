/** Compiles the tenant migrations ahead of the first sign-up, and tells what came of it. */
import type { TenantHomes } from '../../core/homes.ts'
import type { Home } from '../../core/tenant.ts'
import type { MigrationProject } from '../migration-project.ts'

/** What new tenants are made from. */
export interface CompiledMigrations {
  readonly migrations: number
  /** How many statements they amount to. */
  readonly statements?: number
  /** Why they are replayed for each new tenant. */
  readonly refused?: string
}

/** The part of the face that compiles. */
export interface FleetCompile {
  /**
   * Compiles the tenant migrations to what new tenants are made from, unless that was done, and says where they are made
   * by running the migrations instead, and why. The first sign-up would do it otherwise.
   * @returns `undefined` where there is no migration, or no tenant with tables of its own whose roles could own a trial.
   * @throws TNY401, TNY404, TNY408 to TNY410; what PostgreSQL says where they cannot be replayed.
   */
  compile(): Promise<CompiledMigrations | undefined>
}

export function fleetCompile({ db, homes, baselines, readTenant }: MigrationProject): FleetCompile {
  return {
    async compile() {
      const migrations = await readTenant()
      const home = await findHome(homes)
      if (home === undefined || migrations.length === 0) return undefined
      const baseline = await db.session((session) => baselines.find(session, migrations, home))
      return 'refused' in baseline
        ? { migrations: migrations.length, refused: baseline.refused }
        : { migrations: migrations.length, statements: baseline.statements.length }
    },
  }
}

/** Of a tenant in this database, whose roles a trial may take. */
async function findHome(homes: TenantHomes): Promise<Home | undefined> {
  for await (const { home } of homes.list()) if (home.model === 'schema') return home
  return undefined
}
