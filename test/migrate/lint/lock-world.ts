/** Statements of every form that takes locks, and the schema that they run in: what PostgreSQL itself does is the measure. */

/** Fresh for each version; every statement of FORMS is rolled back again. */
export const WORLD = `
create table parent (id bigint primary key, code text);
create table child (
  id bigint primary key, parent_id bigint constraint child_parent references parent, other_id bigint, name text,
  note varchar(20), amount numeric(10, 2), n int constraint n_pos check (n > 0), at timestamp(3), nullable int, filled int,
  rank int not null default 1, twice int generated always as (n * 2) stored, wild text
);
create table self (id int primary key, up_id int constraint self_up references self);
create table loner (id int, code int);
create unique index loner_code on loner (code);
create index child_n on child (n);
alter table child add constraint filled_there check (filled is not null);
alter table child add constraint late check (n < 1000) not valid;
alter table child add constraint late_key foreign key (other_id) references parent not valid;
create table parted (id int not null, at date) partition by range (id);
create table parted_low partition of parted for values from (0) to (10);
create table loose (id int not null, at date);
create table ready (id int not null constraint in_bound check (id >= 20 and id < 30), at date);
create table base (a int);
create table heir () inherits (base);
create view shown as select id from child;
create materialized view kept as select id from child;
create unique index kept_id on kept (id);
create type mood as enum ('sad', 'glad');
create type pair as (a int, b int);
create domain positive as int check (value > 0);
create domain plain as int;
create table with_domain (p plain);
create table of_mood (m mood);
create sequence counter;
create schema elsewhere;
create access method other_heap type table handler heap_tableam_handler;
create type lonely as (a int);
create table base_like (id int not null, at date);
create table typed_later (a int, b int);
create table typed of pair;
create function nothing() returns trigger language plpgsql as 'begin return new; end';
create function own_volatile() returns int language plpgsql as 'begin return 1; end';
create function own_stable() returns int language sql stable as 'select 1';
create trigger watch before insert on child for each row execute function nothing();
create policy p on child using (true);
create rule r as on insert to loner do also select 1;
create statistics st on n, nullable from child;
insert into parent values (1, 'a'), (2, 'b');
insert into child (id, parent_id, other_id, name, note, amount, n, at, nullable, filled) values (1, 1, 1, 'x', 'x', 1, 1, now(), 1, 1);
insert into loner values (1, 1);
insert into loose values (11, now());
insert into ready values (21, now());
insert into base values (1);
insert into with_domain values (1);
`

/** Where the version knows it. */
export const NEWER_WORLD = `
create table sleeper (id bigint constraint asleep references parent not enforced);
`

/** Every command of ALTER TABLE, and every other statement that takes a table lock. */
export const FORMS: readonly string[] = [
  // ALTER TABLE: columns
  'alter table child add column c int',
  'alter table child add column c int default 5',
  'alter table child add column c timestamptz not null default now()',
  'alter table child add column c double precision default random()',
  'alter table child add column c uuid default gen_random_uuid()',
  'alter table child add column c int default own_volatile()',
  'alter table child add column c int default own_stable()',
  'alter table child add column c serial',
  'alter table child add column c bigint generated always as identity',
  'alter table child add column c int generated always as (n + 1) stored',
  'alter table child add column c positive',
  'alter table child add column c plain',
  'alter table child add column c int check (c > 0)',
  'alter table child add column c int unique',
  'alter table loner add column c int primary key default 1',
  'alter table child add column c bigint references parent',
  'alter table child add column c bigint default 1 references parent',
  'alter table child drop column nullable',
  'alter table child drop column parent_id',
  'alter table child drop column other_id',
  'alter table child alter column nullable set default 4',
  'alter table child alter column nullable drop default',
  'alter table child alter column nullable set not null',
  'alter table child alter column filled set not null',
  'alter table child alter column rank set not null',
  'alter table child alter column rank drop not null',
  'alter table child alter column nullable type bigint',
  'alter table child alter column wild type varchar',
  'alter table child alter column wild type varchar(10)',
  'alter table child alter column note type varchar(40)',
  'alter table child alter column note type varchar(10)',
  'alter table child alter column note type text',
  'alter table child alter column note type text using note::text',
  'alter table child alter column note type text using upper(note)',
  'alter table child alter column amount type numeric(12, 2)',
  'alter table child alter column amount type numeric',
  'alter table child alter column amount type numeric(12, 4)',
  'alter table child alter column at type timestamp(6)',
  'alter table child alter column at type timestamptz',
  'alter table child alter column nullable set statistics 50',
  'alter table child alter column nullable set (n_distinct = 5)',
  'alter table child alter column nullable reset (n_distinct)',
  'alter table child alter column name set storage external',
  'alter table child alter column name set compression pglz',
  'alter table child alter column rank add generated always as identity, alter column rank drop default',
  'alter table child alter column twice drop expression',
  // ALTER TABLE: constraints
  'alter table child add constraint c check (n < 5)',
  'alter table child add constraint c check (n < 5) not valid',
  'alter table child add constraint c unique (n)',
  'alter table loner add primary key (id)',
  'alter table loner add constraint c unique using index loner_code',
  'alter table loner add constraint c primary key using index loner_code',
  'alter table child add constraint c exclude using btree (n with =)',
  'alter table child add constraint c foreign key (nullable) references parent',
  'alter table child add constraint c foreign key (nullable) references parent not valid',
  'alter table self add constraint c foreign key (up_id) references self',
  'alter table child validate constraint late',
  'alter table child validate constraint late_key',
  'alter table child validate constraint n_pos',
  'alter table child alter constraint child_parent deferrable',
  'alter table child drop constraint n_pos',
  'alter table child drop constraint child_parent',
  'alter table child drop constraint child_pkey',
  // ALTER TABLE: triggers, rules, row security
  'alter table child disable trigger watch',
  'alter table child enable trigger watch',
  'alter table child enable always trigger watch',
  'alter table child enable replica trigger watch',
  'alter table child disable trigger all',
  'alter table child disable trigger user',
  'alter table child enable trigger all',
  'alter table child enable trigger user',
  'alter table loner disable rule r',
  'alter table loner enable rule r',
  'alter table loner enable always rule r',
  'alter table loner enable replica rule r',
  'alter table child enable row level security',
  'alter table child disable row level security',
  'alter table child force row level security',
  'alter table child no force row level security',
  // ALTER TABLE: storage and the rest
  'alter table child set (fillfactor = 80)',
  'alter table child set (autovacuum_enabled = false, parallel_workers = 2)',
  'alter table child set (user_catalog_table = true)',
  'alter table child reset (fillfactor)',
  'alter view shown set (security_barrier = true)',
  'alter table loner set unlogged',
  'alter table child set access method other_heap',
  'alter table child set without cluster',
  'alter table child cluster on child_n',
  'alter table child replica identity full',
  'alter table child owner to current_user',
  'alter table child set schema elsewhere',
  'alter table loose inherit base_like',
  'alter table heir no inherit base',
  'alter table typed_later of pair',
  'alter table typed not of',
  'alter table parted attach partition loose for values from (10) to (20)',
  'alter table parted attach partition ready for values from (20) to (30)',
  'alter table parted detach partition parted_low',
  'alter table child add column c int, add constraint d check (n < 9) not valid, alter column nullable set statistics 3',
  'alter table child rename column nullable to other',
  'alter table child rename to kid',
  'alter table child rename constraint n_pos to positive_n',
  'alter view shown rename to visible',
  'alter materialized view kept rename to stored',
  'alter index child_n rename to child_m',
  'alter index child_n set (fillfactor = 70)',
  // Indexes
  'create index on child (nullable)',
  'create unique index u on child (nullable)',
  'create index on kept (id)',
  'drop index child_n',
  'reindex table child',
  'reindex index child_n',
  // Tables
  'create table fresh (id int)',
  'create table fresh (id int references parent)',
  'create table fresh (id int, foreign key (id) references parent)',
  'create table fresh (like child including all)',
  'create table fresh () inherits (base)',
  'create table fresh partition of parted for values from (50) to (60)',
  'create table fresh as select * from child',
  'drop table loner',
  'drop table child cascade',
  'drop table parent cascade',
  'drop table self',
  'drop table parted',
  'truncate loner',
  'truncate parent cascade',
  // Views
  'create view other as select * from child',
  'create or replace view shown as select id from child where n > 1',
  'drop view shown',
  'create materialized view fresh as select * from child',
  'refresh materialized view kept',
  'refresh materialized view kept with no data',
  'refresh materialized view concurrently kept',
  'drop materialized view kept',
  // What hangs on tables
  'create trigger t after insert on child for each row execute function nothing()',
  'create or replace trigger watch before insert on child for each row execute function nothing()',
  'create constraint trigger t after insert on child from parent for each row execute function nothing()',
  'drop trigger watch on child',
  'alter trigger watch on child rename to look',
  'create policy q on child using (true)',
  'alter policy p on child using (false)',
  'alter policy p on child rename to q',
  'drop policy p on child',
  'create rule q as on update to loner do also select 1',
  'alter rule r on loner rename to q',
  'drop rule r on loner',
  'create statistics more on n, rank from child',
  'drop statistics st',
  "comment on table child is 'x'",
  "comment on column child.n is 'x'",
  "comment on view shown is 'x'",
  'grant select on child to public',
  'revoke all on child from public',
  // Types, sequences, functions
  "alter type mood add value 'calm'",
  "alter type mood rename value 'sad' to 'blue'",
  'alter type lonely add attribute c int',
  'alter domain plain add constraint c check (value > 0)',
  'alter domain plain add constraint c check (value > 0) not valid',
  'alter domain plain set not null',
  'alter domain plain set default 4',
  'drop domain positive',
  'alter sequence counter restart',
  "select setval('counter', 5)",
  "create or replace function own_stable() returns int language sql stable as 'select 2'",
  // Rows
  'lock table child',
  'lock table child in share mode',
  'lock table child, parent in row exclusive mode',
  'analyze child',
  'cluster child using child_pkey',
  'insert into child (id, parent_id, filled) values (2, 1, 1)',
  'insert into loner select id, nullable from child where id > 5',
  'update child set nullable = 5',
  'update child set parent_id = 2',
  'update child set nullable = 5 from parent where parent.id = parent_id',
  'delete from loner',
  'merge into base using parent on base.a = parent.id when matched then update set a = 2',
  'with gone as (delete from loner returning id) insert into base select id from gone',
  'select * from child join parent on parent.id = parent_id',
  'select * from child for update',
  'select * from shown',
]

/** Forms that only some versions know. */
export const NEWER_FORMS: readonly { readonly since: number; readonly sql: string }[] = [
  { since: 17, sql: 'alter table child alter column twice set expression as (n * 3)' },
  { since: 18, sql: 'alter table child add column c int generated always as (n + 1) virtual' },
  { since: 18, sql: 'alter table child add constraint c not null nullable' },
  { since: 18, sql: 'alter table child add constraint c not null nullable not valid' },
  { since: 18, sql: 'alter table child add constraint c check (n < 5) not enforced' },
  {
    since: 18,
    sql: 'alter table child add constraint c foreign key (nullable) references parent not enforced',
  },
  { since: 18, sql: 'alter table child alter constraint child_parent not enforced' },
  { since: 18, sql: 'alter table sleeper alter constraint asleep enforced' },
  { since: 18, sql: 'alter table parted add constraint c foreign key (id) references parent not valid' },
]

/** Forms that refuse a transaction: seen is the first lock that they wait for. */
export const ALONE: readonly string[] = [
  'create index concurrently on child (nullable)',
  'drop index concurrently child_n',
  'reindex table concurrently child',
  'reindex index concurrently child_n',
  'vacuum child',
  'vacuum full child',
  'vacuum (analyze) child',
  'alter table parted detach partition parted_low concurrently',
]
