/**
 * Holes of PostgreSQL that reach across tenants, and the minor releases that close them. Known by November 2026; later
 * ones are not in it, so that a server without a hole listed here is not proven to be without any.
 */

/** One hole of the server that a tenant's statements, or objects of a tenant's migrations, can use. */
export interface KnownHole {
  readonly id: string
  /** One sentence for operators. */
  readonly what: string
  /** The minor release that closes it, by major version; a major version that never had it is not listed. */
  readonly closed: Readonly<Partial<Record<number, number>>>
}

const MAY_2023 = { 15: 3 }
const AUGUST_2023 = { 15: 4 }
const NOVEMBER_2023 = { 15: 5, 16: 1 }
const MAY_2024 = { 15: 7, 16: 3 }
const AUGUST_2024 = { 15: 8, 16: 4 }
const NOVEMBER_2024 = { 15: 9, 16: 5, 17: 1 }
const AUGUST_2025 = { 15: 14, 16: 10, 17: 6 }
const FEBRUARY_2026 = { 15: 16, 16: 12, 17: 8, 18: 2 }
const MAY_2026 = { 15: 18, 16: 14, 17: 10, 18: 4 }
const AUGUST_2026 = { 15: 19, 16: 15, 17: 11, 18: 6 }
const NOVEMBER_2026 = { 15: 20, 16: 16, 17: 12, 18: 7 }

/**
 * Those that break row security or the rights of roles come first, then those that take over the server. Left out:
 * holes of client libraries (node-postgres is not libpq), of replication, and of extensions that few have.
 * Source: the CVE records of the PostgreSQL project, https://www.postgresql.org/support/security/
 */
export const KNOWN_HOLES: readonly KnownHole[] = [
  {
    id: 'CVE-2026-120154',
    what: 'INSERT … ON CONFLICT DO UPDATE reads every row despite row security',
    closed: NOVEMBER_2026,
  },
  {
    id: 'CVE-2026-14666',
    what: 'cached plans keep the row security of a role after its memberships changed',
    closed: AUGUST_2026,
  },
  {
    id: 'CVE-2025-8713',
    what: 'statistics of the planner give away values that row security or a view hides',
    closed: AUGUST_2025,
  },
  {
    id: 'CVE-2024-10976',
    what: 'a plan that is used again under another role applies the first role’s row security in subqueries and views',
    closed: NOVEMBER_2024,
  },
  {
    id: 'CVE-2024-10978',
    what: 'SET ROLE can be reset to a wrong role, where a statement reads the setting',
    closed: NOVEMBER_2024,
  },
  {
    id: 'CVE-2024-4317',
    what: 'pg_stats_ext shows values of tables that the reader may not read; databases made before the update also need its script',
    closed: MAY_2024,
  },
  {
    id: 'CVE-2023-39418',
    what: 'MERGE does not enforce the row security of UPDATE and SELECT',
    closed: AUGUST_2023,
  },
  {
    id: 'CVE-2023-2455',
    what: 'functions that were inlined apply the row security of another role',
    closed: MAY_2023,
  },
  {
    id: 'CVE-2023-2454',
    what: 'CREATE SCHEMA with elements gets around a protective search_path',
    closed: MAY_2023,
  },
  {
    id: 'CVE-2026-120141',
    what: 'functions that return rows of changing types, such as json_populate_recordset, run code on the server',
    closed: NOVEMBER_2026,
  },
  {
    id: 'CVE-2026-6460',
    what: 'rows of a type that was altered meanwhile run code on the server',
    closed: NOVEMBER_2026,
  },
  {
    id: 'CVE-2026-14664',
    what: 'regular expressions on malformed text run code on the server',
    closed: AUGUST_2026,
  },
  {
    id: 'CVE-2026-14669',
    what: 'to_char with a chosen time zone runs code on the server',
    closed: AUGUST_2026,
  },
  {
    id: 'CVE-2026-14680',
    what: 'functions with arguments of the type internal, called directly, run code on the server',
    closed: AUGUST_2026,
  },
  {
    id: 'CVE-2026-16239',
    what: 'a cursor that is closed and declared again runs code on the server',
    closed: AUGUST_2026,
  },
  {
    id: 'CVE-2026-14662',
    what: 'large inputs of tsvector and tsquery run code on the server',
    closed: AUGUST_2026,
  },
  {
    id: 'CVE-2026-15741',
    what: 'an object made by a migration runs SQL as whoever dumps the database',
    closed: AUGUST_2026,
  },
  { id: 'CVE-2026-6473', what: 'very large values run code on the server', closed: MAY_2026 },
  {
    id: 'CVE-2026-6472',
    what: 'CREATE TYPE puts a multirange type into a schema of somebody else, whose statements then use it',
    closed: MAY_2026,
  },
  {
    id: 'CVE-2026-2006',
    what: 'malformed multibyte text runs code on the server',
    closed: FEBRUARY_2026,
  },
  {
    id: 'CVE-2026-2005',
    what: 'pgcrypto, given a malformed message, runs code on the server',
    closed: FEBRUARY_2026,
  },
  {
    id: 'CVE-2026-2003',
    what: 'a malformed oidvector gives away bytes of the server’s memory',
    closed: FEBRUARY_2026,
  },
  {
    id: 'CVE-2025-8715',
    what: 'the name of an object runs code where a dump is restored',
    closed: AUGUST_2025,
  },
  {
    id: 'CVE-2024-10979',
    what: 'a function in PL/Perl changes the environment of the server’s process',
    closed: NOVEMBER_2024,
  },
  {
    id: 'CVE-2024-7348',
    what: 'an object that is exchanged at the right moment runs SQL as whoever dumps the database',
    closed: AUGUST_2024,
  },
  {
    id: 'CVE-2023-5869',
    what: 'large array subscripts run code on the server',
    closed: NOVEMBER_2023,
  },
  {
    id: 'CVE-2023-5868',
    what: 'aggregates give away bytes of the server’s memory',
    closed: NOVEMBER_2023,
  },
]

/** The holes of a server, by `server_version_num`; empty for major versions that are newer than this list. */
export function holesOf(version: number): KnownHole[] {
  const { major, minor } = parts(version)
  return KNOWN_HOLES.filter(({ closed }) => minor < (closed[major] ?? 0))
}

/** The minor release of the same major version that closes all of them, as in '18.7'. */
export function safeRelease(version: number): string | undefined {
  const { major } = parts(version)
  const minors = KNOWN_HOLES.flatMap(({ closed }) => closed[major] ?? [])
  return minors.length === 0 ? undefined : `${major}.${Math.max(...minors)}`
}

/** As PostgreSQL itself says it: 180004 is 18.4. */
export function releaseOf(version: number): string {
  const { major, minor } = parts(version)
  return `${major}.${minor}`
}

function parts(version: number): { major: number; minor: number } {
  return { major: Math.floor(version / 10_000), minor: version % 10_000 }
}
