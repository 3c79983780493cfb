/** Tests on several versions of PostgreSQL: their servers, and a suite for each. */
import { describe, inject } from 'vitest'
import { requestServer } from './server-provider.ts'
import { isInstalled, SERVER_VERSIONS, type ServerVersion, type TestServer } from './server-versions.ts'

export { type ServerVersion, type TestServer } from './server-versions.ts'

/** The server of a version. The first call of a run for one of the older versions starts it, in some two seconds. */
export async function serverOf(version?: ServerVersion): Promise<TestServer> {
  const usual = inject('server')
  return version === undefined || version === usual.version
    ? usual
    : requestServer(inject('servers'), version)
}

/**
 * The same tests on each version, as suites `<name> on PostgreSQL <version>`. A version that there is no package of for
 * this machine is skipped for all to see, and fails the run in CI.
 * @param versions all of them by default
 * @example
 * describeOnVersions('roles', [15, 18], (version) => {
 *   beforeAll(async () => (database = await createTestDatabase({ version })))
 * })
 */
export function describeOnVersions(
  name: string,
  versions: readonly ServerVersion[] | undefined,
  fn: (version: ServerVersion) => void,
): void {
  for (const version of versions ?? SERVER_VERSIONS) {
    describe.skipIf(!isInstalled(version))(`${name} on PostgreSQL ${version}`, () => fn(version))
  }
}
