/** The checks behind `tenantry doctor`: facts of the project, the server and the catalog, judged. */
import { fail, failed, ok, warn, type Check } from './check.ts'
import { checkAdmin } from './check-admin.ts'
import { checkRuntime } from './check-runtime.ts'
import { findConnections } from './connections.ts'
import type { Project } from './load-config.ts'

/** Runs every check that can be run; those that need a connection which is not there are left out. */
export async function diagnose(project: Project): Promise<Check[]> {
  const checks: Check[] = [
    project.file === undefined
      ? warn(
          'configuration',
          `no tenantry.config.ts in ${project.folder} or above`,
          'Defaults hold; `tenantry init` makes one.',
        )
      : ok('configuration', project.file),
  ]
  let connections
  try {
    connections = findConnections(project)
  } catch (error) {
    return [...checks, failed('connections', error)]
  }
  const app = await checkRuntime(connections.app)
  checks.push(...app.checks)
  const admin = await checkAdmin(connections.admin, project)
  checks.push(...admin.checks)
  if (app.place !== undefined && admin.place !== undefined && app.place !== admin.place) {
    checks.push(
      fail(
        'same database',
        'the two connections lead to different databases',
        'Let both URLs name the same server and database.',
      ),
    )
  }
  return checks
}
