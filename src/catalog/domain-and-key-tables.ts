/** The SQL of the catalog's other ways to name a tenant, domains of its own and API keys, and of what is told of changes. */

/**
 * The catalog's third version. What is not obvious:
 * - Several tenants may have claimed a domain, each with a token of its own; one of them at most has proven it. So a claim
 *   takes nothing from anybody, and two proofs at one moment meet in the index.
 * - Nobody but the admin can read the table of API keys: the runtime login asks for one key by the hash of its secret.
 * - The payload says which name was taken or given up, so that a process forgets that one name alone. A space cannot be
 *   part of an id. An update that takes a row from one tenant to another concerns both.
 * @param channel where changes are told
 */
export const domainAndKeySql = (channel: string): string => `
create table tenantry.domains (
  domain text collate "C" not null
    check (domain ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' and length(domain) <= 243),
  tenant_id text collate "C" not null references tenantry.tenants (id),
  token text not null,
  verified_at timestamptz,
  checked_at timestamptz,
  missing_since timestamptz,
  created_at timestamptz not null default now(),
  primary key (domain, tenant_id)
);
create unique index domains_one_verified on tenantry.domains (domain) include (tenant_id) where verified_at is not null;
create index domains_tenant on tenantry.domains (tenant_id);
create index domains_checked on tenantry.domains (checked_at) where verified_at is not null;
comment on table tenantry.domains is
  'Domains that tenants claim. One names its tenant once verified_at is set, which is so for one tenant at most.';
comment on column tenantry.domains.missing_since is
  'Since when checks of a verified domain have not found its token in the DNS.';

create table tenantry.api_keys (
  id text collate "C" primary key,
  tenant_id text collate "C" not null references tenantry.tenants (id),
  name text not null,
  hash bytea not null unique check (length(hash) = 32),
  prefix text not null,
  scopes text[] not null default '{}',
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz
);
create index api_keys_tenant on tenantry.api_keys (tenant_id);
comment on column tenantry.api_keys.hash is
  'SHA-256 of the secret. Nothing slow is needed: what has 256 random bits cannot be guessed, however fast guessing is.';
revoke all on tenantry.domains, tenantry.api_keys from public;

create function tenantry.find_api_key(hash bytea) returns text
  language sql stable strict parallel safe security definer set search_path = pg_catalog, pg_temp
as $body$
  select json_build_object('id', a.id, 'tenantId', a.tenant_id, 'name', a.name, 'scopes', a.scopes,
    'expiresAt', (extract(epoch from a.expires_at) * 1000)::bigint)::text
  from tenantry.api_keys a where a.hash = find_api_key.hash and a.revoked_at is null
$body$;
revoke execute on function tenantry.find_api_key(bytea) from public;

create or replace function tenantry.tell_of_change() returns trigger language plpgsql set search_path = pg_catalog
as $body$
declare
  changed jsonb;
begin
  foreach changed in array case tg_op
    when 'INSERT' then array[to_jsonb(new)]
    when 'DELETE' then array[to_jsonb(old)]
    else array[to_jsonb(old), to_jsonb(new)]
  end loop
    execute format('notify ${channel}, %L', case tg_table_name
      when 'tenants' then changed ->> 'id'
      when 'keys' then (changed ->> 'tenant_id') || ' ' || (changed ->> 'key')
      when 'domains' then (changed ->> 'tenant_id') || ' ' || (changed ->> 'domain')
      else (changed ->> 'tenant_id') || ' ' || (changed ->> 'id')
    end);
  end loop;
  return null;
end
$body$;

-- A claim that is not proven names nobody: whoever may claim must not be able to wake every process.
create trigger tell_of_proof after insert on tenantry.domains
  for each row when (new.verified_at is not null) execute function tenantry.tell_of_change();
create trigger tell_of_change after update of domain, tenant_id, verified_at on tenantry.domains
  for each row when (old.verified_at is not null or new.verified_at is not null) execute function tenantry.tell_of_change();
create trigger tell_of_end after delete on tenantry.domains
  for each row when (old.verified_at is not null) execute function tenantry.tell_of_change();
-- Nobody can have asked for a secret before it was made, so that a new key is no news.
create trigger tell_of_change after update or delete on tenantry.api_keys
  for each row execute function tenantry.tell_of_change();
`
