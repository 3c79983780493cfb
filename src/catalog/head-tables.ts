/** The SQL of what ran where: one row for each target of migrations, pointing into one history for the whole fleet. */

/**
 * Both tables, in the catalog's database and in that of each tenant that has one. What is not obvious:
 * - The history is a chain, like git's commits: a row for each step of the fleet and not for each tenant. A file that was
 *   edited after some tenants ran it is another branch, so that nothing of what they ran is forgotten.
 * - A head moves in the transaction of its step, and its row lock is what keeps two runners apart. Nothing is indexed but
 *   the key, so that an update changes no index.
 * - Heads are deleted with what they are about; no foreign key holds them to tenants, since homes are made ahead.
 * @param ifMissing for a database that another runner may prepare at the same time
 */
const tables = (ifMissing: 'if not exists' | ''): string => `
create table ${ifMissing} tenantry.migration_history (
  digest text collate "C" primary key check (digest ~ '^[0-9a-f]{64}$'),
  parent text collate "C" references tenantry.migration_history,
  name text not null,
  checksum text collate "C" not null,
  recorded_at timestamptz not null default now()
);
comment on table tenantry.migration_history is
  'Every migration that ran somewhere, as it was, behind the one that it followed: digest = sha256(parent, name, checksum).';

create table ${ifMissing} tenantry.migration_heads (
  schema_name text collate "C" not null,
  database_name text collate "C" not null default '',
  digest text collate "C",
  version bigint,
  repeatable text collate "C",
  unfinished text,
  updated_at timestamptz not null default now(),
  primary key (schema_name, database_name)
) with (fillfactor = 70);
comment on table tenantry.migration_heads is
  'How far each schema is: the digest of its last migration. A database_name other than '''' is a copy of the row there.';
comment on column tenantry.migration_heads.version is 'The number in the name of the last migration.';
comment on column tenantry.migration_heads.repeatable is 'The same as digest, of repeatable files.';
comment on column tenantry.migration_heads.unfinished is
  'The migration outside of a transaction that began and has not ended.';
revoke all on tenantry.migration_history, tenantry.migration_heads from public;
`

/** The catalog's version: the tables, and heads that go with the home that they are about. */
export const HEADS_SQL = `${tables('')}
create function tenantry.forget_head() returns trigger language plpgsql set search_path = pg_catalog as $body$
begin
  delete from tenantry.migration_heads h
    where h.schema_name = old.schema_name and h.database_name = coalesce(old.database_name, '');
  return null;
end
$body$;
revoke execute on function tenantry.forget_head() from public;
create trigger forget_head after update of schema_name, database_name on tenantry.tenants for each row
  when (old.model <> 'shared' and (old.schema_name, old.database_name) is distinct from (new.schema_name, new.database_name))
  execute function tenantry.forget_head();
create trigger forget_head_at_end after delete on tenantry.tenants for each row
  when (old.model <> 'shared') execute function tenantry.forget_head();
`

/** The same tables in a tenant's own database, where the schema is the admin's alone. */
export const HEADS_ELSEWHERE_SQL = `create schema if not exists tenantry; ${tables('if not exists')}`
