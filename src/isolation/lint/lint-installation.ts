/** The lint over an installation: the catalog's database, and every database that a tenant has alone. */
import type { AdminDatabase } from '../../core/database.ts'
import type { LintFinding } from './finding.ts'
import { inOrder, lintDatabase, type LintOptions, type OwnDatabase } from './lint-database.ts'

/** How many databases are looked into at a time, by a connection each. */
const AT_ONCE = 4

/**
 * Every rule over every database of the installation, as the admin login. Reads catalogs only; errors come first. What the
 * databases of many tenants have alike is one finding.
 * @example
 * const findings = await lintInstallation(admin)
 */
export async function lintInstallation(
  admin: AdminDatabase,
  options: LintOptions = {},
): Promise<LintFinding[]> {
  const here = await lintDatabase(admin, options)
  const waiting = await listOwnDatabases(admin)
  const alike = new Map<string, LintFinding>()
  const lookNext = async (): Promise<void> => {
    for (let own = waiting.shift(); own !== undefined; own = waiting.shift()) {
      for (const finding of await lookInto(admin, own, options)) {
        const { rule, object, severity } = finding
        const key = JSON.stringify([rule, object, severity])
        alike.set(key, together(alike.get(key), finding))
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lookNext))
  return inOrder([...here, ...alike.values()])
}

async function listOwnDatabases(admin: AdminDatabase): Promise<OwnDatabase[]> {
  const { rows } = await admin.query<{ own: string }>(
    `select json_build_object('name', database_name, 'schema', schema_name)::text as own from tenantry.tenants
     where model = 'database' and status in ('active', 'suspended', 'moving') order by database_name`,
  )
  return rows.map(({ own }) => JSON.parse(own) as OwnDatabase)
}

/** One that cannot be looked into is told, and hides no other. */
async function lookInto(
  admin: AdminDatabase,
  own: OwnDatabase,
  options: LintOptions,
): Promise<LintFinding[]> {
  try {
    return await admin.inDatabase(own.name).session((session) => lintDatabase(session, options, own))
  } catch (error) {
    return [
      {
        rule: 'database-not-looked-into',
        threat: undefined,
        object: own.name,
        schemas: undefined,
        databases: { first: own.name, count: 1 },
        severity: 'warning',
        reason: `The admin login cannot look into it: ${error instanceof Error ? error.message : String(error)}.`,
        wayOut: `Look whether the database is there, and grant connect on it to the admin login.`,
      },
    ]
  }
}

function together(known: LintFinding | undefined, found: LintFinding): LintFinding {
  if (known?.databases === undefined || found.databases === undefined) return found
  const first = [known.databases.first, found.databases.first].toSorted()[0] as string
  return { ...known, databases: { first, count: known.databases.count + 1 } }
}
