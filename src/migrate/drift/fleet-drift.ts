/** Drift over the fleet, as a part of the face. */
import type { MigrationProject } from '../migration-project.ts'
import type { DriftReport } from './drift-report.ts'
import { findDrift } from './find-drift.ts'

export interface FleetDrift {
  /**
   * Compares each tenant's schema with what the migrations that ran there make in an empty one. Changes nothing.
   * @param options.only keys of tenants, for which the SQL that would mend them is told as well.
   * @throws TNY401, TNY404, TNY408 to TNY410; TNY302 for a key that no tenant has, TNY426 where the files cannot be replayed.
   */
  diff(options?: {
    readonly only?: readonly string[]
    readonly onProgress?: (compared: number) => void
  }): Promise<DriftReport>
}

export function fleetDrift({
  db,
  homes,
  lockTimeoutMs,
  readTenant,
  readRepeatables,
}: MigrationProject): FleetDrift {
  return {
    async diff({ only, onProgress } = {}) {
      const migrations = await readTenant()
      const { migrations: repeatables } = await readRepeatables('tenant')
      return findDrift({ db, homes, migrations, repeatables, lockTimeoutMs, only, onProgress })
    },
  }
}
