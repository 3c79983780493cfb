-- Up Migration
create table plans (
  name text primary key,
  orders_a_month integer not null check (orders_a_month > 0)
);
insert into plans values ('free', 100), ('pro', 10000);

-- Every tenant may read the plans; none may change them.
grant select on plans to tenantry_tenants;

-- Down Migration
drop table plans;
