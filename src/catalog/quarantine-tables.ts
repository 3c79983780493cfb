/** The SQL of the catalog's memory of tenants for which a migration failed. */

/**
 * One row a tenant, since it stops at the first migration that fails. The id refers to nothing: erasing a tenant deletes its row,
 * as errors may quote what stood in its tables.
 */
export const QUARANTINE_SQL = `
create table tenantry.quarantine (
  tenant_id text collate "C" primary key,
  migration text not null,
  checksum text not null,
  error text not null,
  created_at timestamptz not null default now()
);
comment on table tenantry.quarantine is
  'Tenants for which a migration failed. They are left out until the text of that migration changes, or they are asked for.';
`
