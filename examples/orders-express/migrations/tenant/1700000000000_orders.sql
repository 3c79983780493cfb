-- Up Migration
create table orders (
  id bigint generated always as identity primary key,
  customer text not null check (customer <> ''),
  amount numeric(12, 2) not null check (amount >= 0),
  created_at timestamptz not null default now()
);

-- Down Migration
drop table orders;
