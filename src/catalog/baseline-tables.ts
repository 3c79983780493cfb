/** The SQL of what new tenants are made from, so that it is not compiled by each process. */

/** One row for each chain of migrations and version of the server; the admin's alone, since its text is run as owners. */
export const BASELINES_SQL = `
create table tenantry.migration_baselines (
  digest text collate "C" not null,
  server text collate "C" not null,
  compiled text not null,
  compiled_at timestamptz not null default now(),
  primary key (digest, server)
);
comment on table tenantry.migration_baselines is
  'What a chain of migrations amounts to: SQL that makes it at once, or why that cannot be done. May be emptied at any time.';
revoke all on tenantry.migration_baselines from public;
`
