/** The SQL by which the database itself knows whose statement it runs: proofs, and `tenantry.current_tenant()`. */
import { STALE_CONTEXT } from '../sql/sql-state.ts'

/**
 * Part of the catalog's second version. Any role may set `app.current_tenant` (FINDINGS 13), so that it counts for nothing
 * without the proof, a MAC of the id, that only the gateway's login and the admin are told. What is not obvious:
 * - The proofs are kept, made ahead: a look-up by key is all that a statement pays, some 20 µs, status included. Making
 *   them anew from the key and asking for the status took 40 to 50 (docs/decisions/0016-authenticated-context.md).
 * - Keys and proofs belong to the admin alone. Tenants cannot read them, only be checked by functions that the admin owns.
 * - PL/pgSQL, since up to PostgreSQL 17 a function in SQL is planned anew in each statement: 70 µs.
 * - The path is pinned for safety, and for speed: under that of the caller, plans would be made anew at each change of
 *   tenant.
 */
export const CONTEXT_SQL = `
create table tenantry.context_keys (
  id integer generated always as identity primary key,
  key bytea check (length(key) = 32),
  created_at timestamptz not null default now()
);
comment on table tenantry.context_keys is
  'Secrets that the contexts of tenants are proven with: the newest; a former one leaves its number.';
insert into tenantry.context_keys (key)
  select sha256(string_agg(uuid_send(gen_random_uuid()), '')) from generate_series(1, 4);

create table tenantry.contexts (
  id text collate "C" primary key,
  status text not null,
  proof text not null,
  former_proof text,
  login name
);
comment on column tenantry.contexts.login is
  'Of a sealed tenant: its proof counts in sessions of this login alone, whoever else has learned it.';
comment on table tenantry.contexts is
  'What shows that a context is the gateway''s, for each tenant, and whether the tenant is served. Kept by a trigger.';
revoke all on tenantry.context_keys, tenantry.contexts from public;

-- Hashed twice over, so that nothing can be appended to a proof that is known. Ids have no full stop of their own that
-- could be mistaken: the number of the key comes first.
create function tenantry.make_proof(id text) returns text
  language sql stable strict set search_path = pg_catalog, pg_temp
as $body$
  select k.id || '.' || encode(sha256(k.key || sha256(k.key || convert_to(make_proof.id, 'UTF8'))), 'hex')
  from tenantry.context_keys k order by k.id desc limit 1
$body$;

create function tenantry.keep_context() returns trigger language plpgsql set search_path = pg_catalog, pg_temp
as $body$
begin
  if tg_op = 'DELETE' or (tg_op = 'UPDATE' and old.id <> new.id) then
    delete from tenantry.contexts c where c.id = old.id;
  end if;
  -- Until a rotation under way is committed: a proof of the key that it retires would stay.
  if tg_op = 'INSERT' then lock table tenantry.context_keys in row share mode; end if;
  if tg_op <> 'DELETE' then
    insert into tenantry.contexts (id, status, proof, login)
    values (new.id, new.status, tenantry.make_proof(new.id), case when new.tier = 'sealed' then new.role_name end)
    on conflict (id) do update set status = excluded.status, login = excluded.login;
  end if;
  return null;
end
$body$;
create trigger keep_context after insert or delete or update of id, status, tier, role_name on tenantry.tenants
  for each row execute function tenantry.keep_context();
insert into tenantry.contexts (id, status, proof) select t.id, t.status, tenantry.make_proof(t.id) from tenantry.tenants t;

create function tenantry.proof_of(id text) returns text
  language sql stable strict parallel safe security definer set search_path = pg_catalog, pg_temp
as $body$ select c.proof from tenantry.contexts c where c.id = proof_of.id $body$;
comment on function tenantry.proof_of(text) is 'What the gateway binds as tenantry.proof, beside the id of the tenant.';

-- Apart, so that what hardly ever happens costs nothing where it does not.
create function tenantry.refuse_context() returns text
  language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp
as $body$
declare
  claimed text := nullif(current_setting('app.current_tenant', true), '');
  shown text := current_setting('tenantry.proof', true);
  now_status text;
begin
  if claimed is null then return null; end if;
  select c.status into now_status from tenantry.contexts c where c.id = claimed and shown in (c.proof, c.former_proof)
    and (c.login is null or c.login = session_user or pg_has_role(session_user, current_user, 'MEMBER'));
  -- The first rows of new tenants, and data migrations: the control plane acts for tenants that are not served. Asked of
  -- the login that connected: a role that statements of tenants run as is never it.
  if now_status <> 'erased' and pg_has_role(session_user, current_user, 'MEMBER') then return claimed; end if;
  if now_status is not null then
    raise exception 'the tenant is not active' using errcode = '${STALE_CONTEXT}',
      hint = 'The context was proven before this changed: read the tenant again.';
  end if;
  if exists (select from tenantry.context_keys k where k.key is null and k.id || '' = split_part(shown, '.', 1)) then
    raise exception 'the key that the context was proven with is retired' using errcode = '${STALE_CONTEXT}',
      hint = 'Read the tenant, and the proof of its context, again.';
  end if;
  return null;
end
$body$;

create function tenantry.current_tenant() returns text
  language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp
as $body$
begin
  return coalesce((
    select c.id from tenantry.contexts c
    where c.id = current_setting('app.current_tenant', true) and c.status = 'active'
      and (c.proof = current_setting('tenantry.proof', true) or c.former_proof = current_setting('tenantry.proof', true))
      and (c.login is null or c.login = session_user)
  ), tenantry.refuse_context());
end
$body$;
comment on function tenantry.current_tenant() is
  'The tenant whose statement this is, as the gateway has proven it; null where it has not. In a policy:
using (tenant_id = (select tenantry.current_tenant()))';

revoke execute on function tenantry.make_proof(text), tenantry.keep_context(), tenantry.proof_of(text),
  tenantry.refuse_context(), tenantry.current_tenant() from public;
`
