/** The SQL of homes made ahead: schemas that are migrated and belong to nobody yet. */

/**
 * What is not obvious: a row is there before its schema is, so that whatever a killed process leaves is found again; and
 * a home that is being worked on has no digest, so that no sign-up takes it.
 */
export const READY_HOMES_SQL = `
create table tenantry.ready_homes (
  schema_name text collate "C" primary key,
  role_name text collate "C" not null unique,
  owner_role text collate "C" not null unique,
  state text not null default 'reserved' check (state in ('reserved', 'made', 'ready')),
  digest text,
  created_at timestamptz not null default now(),
  made_at timestamptz,
  constraint ready_homes_whole check ((state = 'ready') = (digest is not null))
);
revoke all on tenantry.ready_homes from public;
comment on table tenantry.ready_homes is 'Homes made ahead, with their roles, not yet given to a tenant.';
comment on column tenantry.ready_homes.digest is 'Which migrations have run in it, all of them in one word.';
`
