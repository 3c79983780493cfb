/** Which database a command works on: what the configuration says, else the environment, else the embedded server. */
import { findProjectServer, wasPrepared } from '../../dev/project.ts'
import type { ConnectionSpec } from '../core/config.ts'
import { TenantryError } from '../core/errors.ts'
import type { Project } from './load-config.ts'

/** A connection and where it comes from, for `doctor` and for whoever wonders. */
export interface Connection {
  readonly spec: ConnectionSpec
  readonly origin: string
}

/** Both connections of a project; one may be missing where its command does not need it. */
export interface Connections {
  readonly app: Connection | undefined
  readonly admin: Connection | undefined
  /** What sealed tenants' secrets come from: `TENANTRY_MASTER_KEY`, or the embedded server's own. */
  readonly masterKey: string | undefined
}

/**
 * The embedded server serves only a project that names no database at all: half of one and half of the other
 * would be two databases.
 * @throws TNY017 where it was used before and is not running; where there is nothing to connect to, TNY003 without a
 * configuration file (the wrong folder?) and TNY035 with one.
 */
export function findConnections(project: Project): Connections {
  const app = configured(project, 'connection', 'DATABASE_URL')
  const admin = configured(project, 'admin', 'TENANTRY_ADMIN_URL')
  const masterKey = process.env['TENANTRY_MASTER_KEY']
  if (app !== undefined || admin !== undefined) return { app, admin, masterKey }
  const server = findProjectServer(project.embedded)
  if (server !== undefined) {
    const origin = `the embedded server of ${project.embedded}`
    return {
      app: { spec: server.appUrl, origin },
      admin: { spec: server.adminUrl, origin },
      masterKey: masterKey ?? server.masterKey,
    }
  }
  if (wasPrepared(project.embedded))
    throw new TenantryError('TNY017', { params: { folder: project.embedded } })
  if (project.file === undefined) throw new TenantryError('TNY003', { params: { folder: project.folder } })
  throw new TenantryError('TNY035')
}

/** @throws TNY001 where this connection is not configured, and what `findConnections` throws. */
export function requireConnection(project: Project, which: 'app' | 'admin'): ConnectionSpec {
  const found = findConnections(project)[which]
  if (found !== undefined) return found.spec
  const params =
    which === 'app'
      ? { what: 'runtime connection', variable: 'DATABASE_URL' }
      : { what: 'admin connection', variable: 'TENANTRY_ADMIN_URL' }
  throw new TenantryError('TNY001', { params })
}

function configured(
  project: Project,
  option: 'connection' | 'admin',
  variable: 'DATABASE_URL' | 'TENANTRY_ADMIN_URL',
): Connection | undefined {
  const spec = project.config[option]
  if (spec !== undefined && spec !== '')
    return { spec, origin: `\`${option}\` of ${project.file ?? 'the configuration'}` }
  const value = process.env[variable]
  return value === undefined || value === '' ? undefined : { spec: value, origin: variable }
}
