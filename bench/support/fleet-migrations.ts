/** A history of migrations for fleets that have no tables. */
import { USUAL_OPTIONS, type Migration } from '../../src/migrate/files/migration.ts'

/** As many as a product of some age has. */
export function someMigrations(count = 200): Migration[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `${index + 1}_step`,
    file: `tenant/${index + 1}_step.sql`,
    up: 'select 1',
    line: 1,
    statements: [0],
    checksum: `${index}`,
    version: index + 1,
    options: USUAL_OPTIONS,
    ignores: [],
    down: undefined,
    after: [],
  }))
}
