/** The catalog's own tables: every version of the schema `tenantry`, as SQL. A version that was released never changes. */

import { BASELINES_SQL } from './baseline-tables.ts'
import { CONTEXT_SQL } from './context-functions.ts'
import { domainAndKeySql } from './domain-and-key-tables.ts'
import { HEADS_SQL } from './head-tables.ts'
import { PROTECT_SQL } from './protect-function.ts'
import { QUARANTINE_SQL } from './quarantine-tables.ts'
import { READY_HOMES_SQL } from './ready-home-tables.ts'

/** One step of the catalog's schema. */
export interface CatalogMigration {
  readonly version: number
  readonly name: string
  readonly sql: string
}

/** The channel on which processes are told of changes; `readChange` reads what is said. */
export const CATALOG_CHANNEL = 'tenantry_catalog'

const FIRST = `
create table tenantry.settings (
  name text primary key,
  value jsonb not null
);

create table tenantry.tenants (
  id text collate "C" primary key check (id ~ '^[!-~]{1,64}$'),
  status text not null
    check (status in ('provisioning', 'active', 'suspended', 'moving', 'archived', 'erased')),
  status_reason text,
  name text,
  plan text,
  settings jsonb,
  model text check (model in ('schema')),
  schema_name text collate "C" unique,
  role_name text collate "C" unique,
  owner_role text collate "C" unique,
  epoch integer,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  erased_at timestamptz,
  constraint tenants_whole_or_tombstone check (
    case status
      when 'erased' then erased_at is not null
        and num_nonnulls(status_reason, name, plan, settings, model, schema_name, role_name, owner_role, epoch) = 0
      else erased_at is null
        and num_nulls(name, plan, settings, model, schema_name, role_name, owner_role, epoch) = 0
    end
  )
);
comment on table tenantry.tenants is
  'Every tenant. An erased one stays as a tombstone (id, status, times), so that its id is never given again.';

create table tenantry.keys (
  key text collate "C" primary key check (key ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(key) <= 48),
  tenant_id text collate "C" not null references tenantry.tenants (id),
  is_alias boolean not null default false,
  created_at timestamptz not null default now()
);
create unique index keys_one_current on tenantry.keys (tenant_id) where not is_alias;
create index keys_tenant on tenantry.keys (tenant_id);
comment on table tenantry.keys is 'Every key and alias, so that none can be taken twice.';

create table tenantry.operations (
  id text collate "C" primary key,
  kind text not null check (kind in ('create', 'delete')),
  tenant_id text collate "C" not null references tenantry.tenants (id),
  state text not null default 'running' check (state in ('running', 'failed', 'done')),
  steps text[] not null default '{}',
  error text,
  started_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index operations_one_unfinished on tenantry.operations (tenant_id) where state <> 'done';
create index operations_tenant on tenantry.operations (tenant_id);
comment on column tenantry.operations.steps is 'Finished steps, each committed together with its effect.';

create table tenantry.role_pool (
  role_name text collate "C" primary key,
  owner_role text collate "C" not null unique,
  created_at timestamptz not null default now()
);
comment on table tenantry.role_pool is 'Pairs of roles made ahead, not yet given to a tenant.';

-- NOTIFY by EXECUTE and not pg_notify(): hardening may take that function away.
create function tenantry.tell_of_change() returns trigger language plpgsql set search_path = pg_catalog as $body$
declare
  changed record := case when tg_op = 'DELETE' then old else new end;
  id text := case tg_table_name when 'tenants' then to_jsonb(changed) ->> 'id' else to_jsonb(changed) ->> 'tenant_id' end;
begin
  execute format('notify ${CATALOG_CHANNEL}, %L', id);
  return null;
end
$body$;
revoke execute on function tenantry.tell_of_change() from public;

-- A name that may be a key or an id must mean one tenant. Both tables are asked under one lock for each name, so that
-- two transactions cannot pass each other.
create function tenantry.refuse_ambiguous_name() returns trigger language plpgsql set search_path = pg_catalog as $body$
declare
  wanted text := case tg_table_name when 'tenants' then to_jsonb(new) ->> 'id' else to_jsonb(new) ->> 'key' end;
  taken boolean;
begin
  perform pg_advisory_xact_lock(hashtextextended('tenantry:name:' || wanted, 0));
  if tg_table_name = 'tenants' then
    select exists (select from tenantry.keys k where k.key = wanted and k.tenant_id <> wanted) into taken;
  else
    select exists (select from tenantry.tenants t where t.id = wanted and t.id <> to_jsonb(new) ->> 'tenant_id') into taken;
  end if;
  if taken then
    raise unique_violation using constraint = tg_table_name || '_pkey',
      message = format('%L is the key or the id of another tenant', wanted);
  end if;
  return new;
end
$body$;
revoke execute on function tenantry.refuse_ambiguous_name() from public;
create trigger refuse_ambiguous_name before insert or update of id on tenantry.tenants
  for each row execute function tenantry.refuse_ambiguous_name();
create trigger refuse_ambiguous_name before insert or update of key on tenantry.keys
  for each row execute function tenantry.refuse_ambiguous_name();

create trigger tell_of_change after insert or update or delete on tenantry.tenants
  for each row execute function tenantry.tell_of_change();
create trigger tell_of_change after insert or update or delete on tenantry.keys
  for each row execute function tenantry.tell_of_change();
`

const MODELS = `
alter table tenantry.tenants
  add column tier text check (tier in ('guarded', 'sealed')),
  add column database_name text collate "C",
  add column key_id text collate "C";
update tenantry.tenants set tier = 'guarded' where status <> 'erased';
alter table tenantry.tenants
  drop constraint tenants_model_check,
  drop constraint tenants_schema_name_key,
  drop constraint tenants_role_name_key,
  drop constraint tenants_owner_role_key,
  drop constraint tenants_whole_or_tombstone,
  add constraint tenants_model_check check (model in ('shared', 'schema', 'database')),
  add constraint tenants_own_database check ((model = 'database') = (database_name is not null)),
  add constraint tenants_whole_or_tombstone check (
    case status
      when 'erased' then erased_at is not null
        and num_nonnulls(status_reason, name, plan, settings, model, tier, database_name, schema_name, role_name,
          owner_role, key_id, epoch) = 0
      else erased_at is null
        and num_nulls(name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch) = 0
    end
  );
-- Tenants of the shared model have their schema, and unless they are sealed their role, together.
create unique index tenants_schema_name_key on tenantry.tenants (schema_name) where model = 'schema';
create unique index tenants_database_name_key on tenantry.tenants (database_name);
create unique index tenants_role_name_key on tenantry.tenants (role_name) where model <> 'shared' or tier = 'sealed';
create unique index tenants_owner_role_key on tenantry.tenants (owner_role) where model <> 'shared';

create table tenantry.shared_homes (
  schema_name text collate "C" primary key,
  pattern_schema text collate "C" not null unique,
  role_name text collate "C" not null unique,
  owner_role text collate "C" not null unique,
  created_at timestamptz not null default now()
);
comment on table tenantry.shared_homes is
  'Where tenants share tables: the schema, the pattern that it is derived from, and the roles of both.';
update tenantry.operations set steps = array_replace(steps, 'schema', 'home');
${CONTEXT_SQL}${PROTECT_SQL}`

/** In order; the version is the position. */
export const CATALOG_MIGRATIONS: readonly CatalogMigration[] = [
  { version: 1, name: 'tenants', sql: FIRST },
  { version: 2, name: 'models', sql: MODELS },
  { version: 3, name: 'domains and API keys', sql: domainAndKeySql(CATALOG_CHANNEL) },
  { version: 4, name: 'migration heads', sql: HEADS_SQL },
  { version: 5, name: 'quarantine', sql: QUARANTINE_SQL },
  { version: 6, name: 'baselines', sql: BASELINES_SQL },
  { version: 7, name: 'ready homes', sql: READY_HOMES_SQL },
]

/** The version that this code works with. */
export const CATALOG_VERSION = CATALOG_MIGRATIONS.length
