/** What every command is given: its project, its output, and a control plane that is closed after use. */
import { existsSync } from 'node:fs'
import { createControlPlane, type ControlPlane } from '../control-plane.ts'
import { folderOf, type MigrationFolder, type MigrationFolders } from '../core/config.ts'
import { findConnections, requireConnection } from './connections.ts'
import type { Invocation } from './invocation.ts'
import { loadProject, type Project } from './load-config.ts'
import { createOutput, type Output } from './output.ts'

/** The surroundings of one command. */
export interface Shell {
  readonly invocation: Invocation
  readonly output: Output
  /** The project around the working directory. @throws TNY002, TNY004 */
  project(): Promise<Project>
  /** Runs `fn` with a control plane on the project's admin connection. @throws TNY001, TNY003, TNY017, TNY035 */
  withControlPlane<T>(fn: (plane: ControlPlane) => Promise<T>): Promise<T>
  /** What the process ends with where nothing was thrown: a failure may also be a result. */
  exitCode: number
}

/** The shell of this process. */
export function createShell(invocation: Invocation): Shell {
  const output = createOutput(invocation.json)
  const project = (): Promise<Project> => loadProject(process.cwd(), invocation.config)
  return {
    invocation,
    output,
    project,
    async withControlPlane(fn) {
      const plane = openControlPlane(await project())
      try {
        return await fn(plane)
      } finally {
        output.settle()
        await plane.close()
      }
    },
    exitCode: 0,
  }
}

/** A control plane on the project's admin connection, with its folders and its seed. */
export function openControlPlane(project: Project): ControlPlane {
  const { waves, lint } = project.config.migrations ?? {}
  return createControlPlane({
    connection: requireConnection(project, 'admin'),
    masterKey: findConnections(project).masterKey,
    migrations: {
      ...migrationFolders(project),
      ...(waves === undefined ? {} : { waves }),
      ...(lint === undefined ? {} : { lint }),
    },
    ...(project.seed === undefined ? {} : { seed: project.seed }),
    ...(project.config.roots === undefined ? {} : { roots: project.config.roots }),
    ...(project.config.apiKeyPrefix === undefined ? {} : { apiKeyPrefix: project.config.apiKeyPrefix }),
  })
}

/** Folders that are named must exist; those that are only the default need not, and are left out. */
export function migrationFolders({ config, migrations }: Project): MigrationFolders {
  const folders: { shared?: MigrationFolder; tenant?: MigrationFolder } = {}
  for (const set of ['shared', 'tenant'] as const) {
    const exists = config.migrations?.[set] !== undefined || existsSync(folderOf(migrations[set]))
    if (exists) folders[set] = migrations[set]
  }
  return folders
}
