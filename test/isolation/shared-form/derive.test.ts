import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { compareForms } from '../../../src/isolation/shared-form/compare-forms.ts'
import { deriveSharedForm } from '../../../src/isolation/shared-form/derive-shared-form.ts'
import { describeOnVersions } from '../../support/versions.ts'
import { createFormWorld, type FormWorld } from './form-world.ts'

// How the server tells a policy or a constraint decides whether it is made again, and differs between versions.
describeOnVersions('shared form', [16, 17], (version) => {
  test('converges', async () => {
    const world = await createFormWorld(version)
    try {
      const text = `create table p (id int primary key, x int, y int, unique (x, y));
        create table c (id serial, x int, y int, p int, constraint whole foreign key (x, y) references p (x, y) match full);
        alter table c add foreign key (p) references p on delete set null not valid;
        create unique index on c (lower(p::text)) nulls not distinct where x > 0; create view v as select * from c`
      expect(await world.change(text)).toMatchObject({ problems: [] })
      expect(await world.compare()).toEqual([])
      expect((await world.derive()).statements).toEqual([])
    } finally {
      await world.close()
    }
  })
})

describeOnVersions('shared form', [15, 18], (version) => {
  let world: FormWorld
  beforeAll(async () => {
    world = await createFormWorld(version)
  })
  afterAll(() => world.close())
  afterEach(() => world.clear())

  /** Derives, and expects that nothing is left to do and nothing differs. */
  async function settle(pattern: string, shared?: string): Promise<readonly string[]> {
    const { statements, problems } = await world.change(pattern, shared)
    expect(problems).toEqual([])
    expect(await world.compare()).toEqual([])
    expect((await world.derive()).statements).toEqual([])
    return statements
  }

  async function constraints(): Promise<Record<string, string>> {
    const rows = await world.asOwner<{ name: string; def: string }>(
      `select format('%s.%s', conrelid::regclass, conname) as name, pg_get_constraintdef(oid) as def from pg_constraint
       where connamespace = 'tenant_shared'::regnamespace and contype <> 'n' order by 1`,
    )
    return Object.fromEntries(rows.map(({ name, def }) => [name, def]))
  }

  async function indexes(): Promise<Record<string, string>> {
    const rows = await world.asOwner<{ name: string; def: string }>(
      `select indexrelid::regclass::text as name, regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '') as def
       from pg_index i join pg_class c on c.oid = i.indexrelid where c.relnamespace = 'tenant_shared'::regnamespace
       and not exists (select from pg_constraint k where k.conindid = i.indexrelid and contype in ('p', 'u')) order by 1`,
    )
    return Object.fromEntries(rows.map(({ name, def }) => [name, def]))
  }

  test('tables get tenant_id, keys led by it, forced row security, two policies and rights', async () => {
    await settle('create table orders (id bigint generated always as identity primary key, note text)')
    const [column] = await world.asOwner(
      `select format_type(atttypid, atttypmod) as type, collname as collation, attnotnull as "notNull",
         (select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = attrelid and adnum = attnum) as "default"
       from pg_attribute join pg_collation l on l.oid = attcollation
       where attrelid = 'orders'::regclass and attname = 'tenant_id'`,
    )
    expect(column).toEqual({
      type: 'text',
      collation: 'C',
      notNull: true,
      default: "NULLIF(current_setting('app.current_tenant'::text, true), ''::text)",
    })
    expect(await constraints()).toEqual({ 'orders.orders_pkey': 'PRIMARY KEY (tenant_id, id)' })
    await world.as('a', "insert into orders (note) values ('mine')")
    await world.as('b', "insert into orders (note) values ('theirs')")
    expect(await world.as('a', 'select note, tenant_id from orders')).toEqual([
      { note: 'mine', tenant_id: 'a' },
    ])
    await expect(
      world.as('a', "insert into orders (tenant_id, note) values ('b', 'x')"),
    ).rejects.toMatchObject({
      code: '42501',
    })
    await expect(world.as('a', "update orders set tenant_id = 'b'")).rejects.toMatchObject({ code: '42501' })
    expect(await world.as('a', "update orders set note = 'x' returning note")).toHaveLength(1)
    expect(await world.as('a', 'delete from orders returning note')).toHaveLength(1)
    // The owner and the admin see all rows without a context, tenants' functions that run as the owner do not (S12).
    const read = await world.admin.query<{ note: string }>('select note from tenant_shared.orders')
    expect(read.rows).toEqual([{ note: 'theirs' }])
    expect(await world.asOwner('select note from orders')).toEqual([{ note: 'theirs' }])
    const rights = await world.asOwner<{ right: string }>(
      `select privilege_type as right from pg_class, aclexplode(relacl) where relname = 'orders'
         and relnamespace = 'tenant_shared'::regnamespace and grantee = '${world.home.role}'::regrole order by 1`,
    )
    expect(rights.map(({ right }) => right)).toEqual(['DELETE', 'INSERT', 'SELECT', 'UPDATE'])
  })

  test('keys: NULLS NOT DISTINCT, DEFERRABLE, INCLUDE, odd names, and NOT NULL where the key was stripped', async () => {
    await settle(
      `create table t (a int, b text, c int not null, "d (x" int, primary key (a, b),
         constraint "odd (name" unique ("d (x") deferrable initially deferred,
         unique nulls not distinct (b), unique (c) include (b));`,
      'create table t (a int, b text, c int not null, "d (x" int)',
    )
    expect(await constraints()).toEqual({
      't.t_pkey': 'PRIMARY KEY (tenant_id, a, b)',
      't.odd (name': 'UNIQUE (tenant_id, "d (x") DEFERRABLE INITIALLY DEFERRED',
      't.t_b_key': 'UNIQUE NULLS NOT DISTINCT (tenant_id, b)',
      't.t_c_b_key': 'UNIQUE (tenant_id, c) INCLUDE (b)',
    })
    const columns = await world.asOwner<{ name: string }>(
      `select attname as name from pg_attribute where attrelid = 't'::regclass and attnum > 0 and attnotnull order by attnum`,
    )
    expect(columns.map(({ name }) => name)).toEqual(['a', 'b', 'c', 'tenant_id'])
  })

  test('indexes: unique, partial, expression, INCLUDE, collation, operator class, order; other methods stay', async () => {
    const text = `create function norm(text) returns text language sql immutable as 'select lower($1)';
      create table "T x" (id int, email text, tags text[], at timestamptz, gone boolean);
      create unique index t_email on "T x" (lower(email)) where not gone;
      create unique index t_norm on "T x" (norm(email)) nulls not distinct;
      create index "odd (index" on "T x" (email collate "C" text_pattern_ops desc nulls last, at) include (id) with (fillfactor = 70);
      create index t_tags on "T x" using gin (tags);
      create index t_hash on "T x" using hash (email);
      create index t_brin on "T x" using brin (at)`
    await settle(text)
    expect(await indexes()).toEqual({
      t_email: 'btree (tenant_id, lower(email)) WHERE (NOT gone)',
      t_norm: 'btree (tenant_id, norm(email)) NULLS NOT DISTINCT',
      '"odd (index"':
        'btree (tenant_id, email COLLATE "C" text_pattern_ops DESC NULLS LAST, at) INCLUDE (id) WITH (fillfactor=\'70\')',
      t_tags: 'gin (tags)',
      t_hash: 'hash (email)',
      t_brin: 'brin (at)',
    })
    await world.as('a', `insert into "T x" (email, gone) values ('x', false)`)
    await world.as('b', `insert into "T x" (email, gone) values ('x', false)`)
    await expect(world.as('a', `insert into "T x" (email, gone) values ('X', false)`)).rejects.toMatchObject({
      code: '23505',
      constraint: 't_email',
    })
  })

  test('foreign keys: every action, self references, MATCH FULL, deferrable, not valid, and out of the schema', async () => {
    await world.db.sql(`create table if not exists public.plans (id int primary key);
      insert into public.plans values (1) on conflict do nothing;
      grant select, references on public.plans to public`)
    await settle(`create table p (id int primary key, x int, y int, unique (x, y));
      create table c (id int primary key, boss int references c on delete set null, plan int references public.plans,
        p_cascade int references p on delete cascade on update cascade, p_null int references p on delete set null,
        p_default int default 1 references p on delete set default, p_restrict int references p on delete restrict on update restrict,
        p_defer int references p deferrable initially deferred, x int, y int, m int, n int,
        constraint whole foreign key (m, n) references p (x, y) match full);
      alter table c add constraint partly foreign key (x, y) references p (x, y) on delete set null (y) not valid`)
    expect(await constraints()).toMatchObject({
      'c.c_boss_fkey': 'FOREIGN KEY (tenant_id, boss) REFERENCES c(tenant_id, id) ON DELETE SET NULL (boss)',
      'c.c_plan_fkey': 'FOREIGN KEY (plan) REFERENCES public.plans(id)',
      'c.c_p_cascade_fkey':
        'FOREIGN KEY (tenant_id, p_cascade) REFERENCES p(tenant_id, id) ON UPDATE CASCADE ON DELETE CASCADE',
      'c.c_p_null_fkey':
        'FOREIGN KEY (tenant_id, p_null) REFERENCES p(tenant_id, id) ON DELETE SET NULL (p_null)',
      'c.c_p_default_fkey':
        'FOREIGN KEY (tenant_id, p_default) REFERENCES p(tenant_id, id) ON DELETE SET DEFAULT (p_default)',
      'c.c_p_restrict_fkey':
        'FOREIGN KEY (tenant_id, p_restrict) REFERENCES p(tenant_id, id) ON UPDATE RESTRICT ON DELETE RESTRICT',
      'c.c_p_defer_fkey':
        'FOREIGN KEY (tenant_id, p_defer) REFERENCES p(tenant_id, id) DEFERRABLE INITIALLY DEFERRED',
      'c.partly':
        'FOREIGN KEY (tenant_id, x, y) REFERENCES p(tenant_id, x, y) ON DELETE SET NULL (y) NOT VALID',
      'c.whole': 'FOREIGN KEY (tenant_id, m, n) REFERENCES p(tenant_id, x, y)',
      'c.whole_match_full': 'CHECK ((num_nulls(m, n) = ANY (ARRAY[0, 2])))',
    })
    await world.as('a', 'insert into p values (1, 1, 1), (2, 2, 2)')
    await world.as('a', 'insert into c (id, boss, p_cascade, p_null, x, y) values (1, 1, 2, 2, 2, 2)')
    await world.as('b', 'insert into p values (1, 1, 1)')
    await expect(world.as('b', 'insert into c (id, p_null) values (1, 2)')).rejects.toMatchObject({
      code: '23503',
      constraint: 'c_p_null_fkey',
    })
    await expect(world.as('b', 'insert into c (id, m) values (1, 1)')).rejects.toMatchObject({
      code: '23514',
    })
    await world.as('a', 'update p set id = 3 where id = 2').catch(() => undefined)
    await world.as('a', 'update c set p_null = null, x = null')
    await world.as('a', 'update p set id = 3 where id = 2')
    expect(await world.as('a', 'select p_cascade, tenant_id from c')).toEqual([
      { p_cascade: 3, tenant_id: 'a' },
    ])
    // Validated later, without being made again.
    expect(
      await settle(
        'alter table c validate constraint partly; alter table c drop constraint whole',
        'select 1',
      ),
    ).toEqual([
      'alter table c drop constraint whole',
      'alter table c drop constraint whole_match_full',
      'alter table c validate constraint partly',
    ])
  })

  test('a later migration changes keys: what refers to them is made again, what is gone goes', async () => {
    await settle(`create table p (id int primary key, code text constraint code_key unique, a int);
      create table c (id int primary key, p int references p, code text references p (code)); create index c_a on c (p)`)
    const statements = await settle(
      `alter table c drop constraint c_code_fkey; alter table p drop constraint code_key; alter table p add constraint code_key unique (code, a);
       drop index c_a; create index c_a on c (p desc); alter table p add unique (a); alter table c add foreign key (p) references p (a)`,
      '',
    )
    expect(statements.filter((statement) => statement.startsWith('alter table p drop'))).toEqual([
      'alter table p drop constraint code_key',
    ])
    expect(await constraints()).toMatchObject({
      'p.code_key': 'UNIQUE (tenant_id, code, a)',
      'c.c_p_fkey1': 'FOREIGN KEY (tenant_id, p) REFERENCES p(tenant_id, a)',
    })
    expect(await indexes()).toEqual({ c_a: 'btree (tenant_id, p DESC)' })
    // The key alone changes: the foreign key on it stays under its name.
    const again = await settle(
      `alter table c drop constraint c_p_fkey; alter table p drop constraint p_pkey; alter table p add primary key (id) include (a);
       alter table c add foreign key (p) references p (id)`,
      '',
    )
    expect(again).toContain('alter table c drop constraint c_p_fkey')
    expect(await constraints()).toMatchObject({
      'c.c_p_fkey': 'FOREIGN KEY (tenant_id, p) REFERENCES p(tenant_id, id)',
    })
    // Without its key a column is as free as the pattern's.
    await settle('alter table c drop constraint c_pkey; alter table c alter column id drop not null', '')
    await world.as('a', 'insert into c (p) values (null)')
  })

  test('sequences belong to the shared tables, and are not behind the pattern’s rows', async () => {
    await settle(
      `create table i (id int generated always as identity (start 10 increment 5) primary key); create table s (id serial primary key);
       create sequence down increment -1 minvalue -100 maxvalue 0 start 0`,
    )
    const fill = 'insert into i default values; insert into i default values; insert into s default values'
    const statements = await settle(`${fill}; select nextval('down'), nextval('down')`, '')
    expect(statements).toEqual([
      "select setval('tenant_shared.down', -1)",
      "select setval('tenant_shared.i_id_seq', 15)",
      "select setval('tenant_shared.s_id_seq', 1)",
    ])
    expect(await world.as('a', 'insert into i default values returning id')).toEqual([{ id: 20 }])
    expect(await world.as('b', 'insert into s default values returning id')).toEqual([{ id: 2 }])
    expect(await world.as('b', "select nextval('down')::int as n")).toEqual([{ n: -2 }])
    await expect(world.as('a', "select setval('s_id_seq', 1)")).rejects.toMatchObject({ code: '42501' })
  })

  test('partitions and children have policies of their own; names of their indexes are the pattern’s', async () => {
    const partitioned = `
      create table t (id int, kind text, code int, primary key (id, kind), unique (code, kind)) partition by list (kind);
      create table t_a partition of t for values in ('a') partition by range (kind);
      create table t_a0 partition of t_a for values from ('a') to ('b');
      create table t_b partition of t for values in ('b');
      create index on t (code); create unique index t_b_own on t_b (code);
      create table r (id int primary key, t_id int, t_kind text, foreign key (t_id, t_kind) references t);
      create table base (id int primary key, note text not null); create table child (extra int unique) inherits (base)`
    await settle(partitioned)
    await settle(`create table t_c partition of t for values in ('c');
      create table t_d (code int, kind text not null, id int not null)`)
    await settle("alter table t attach partition t_d for values in ('d')")
    expect(await names('tenant_shared')).toEqual(await names('tenant_shared_pattern'))
    for (const table of ['t', 't_a', 't_a0', 't_b', 't_c', 't_d', 'base', 'child']) {
      const [row] = await world.asOwner(
        `select relrowsecurity and relforcerowsecurity as forced, (select count(*)::int from pg_policy where polrelid = c.oid) as policies,
           has_table_privilege('${world.home.role}', c.oid, 'SELECT') as granted from pg_class c where oid = '${table}'::regclass`,
      )
      expect(row, table).toEqual({ forced: true, policies: 2, granted: !/_/.test(table) })
    }
    await world.as('a', "insert into t values (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 4)")
    await world.as('b', "insert into t values (1, 'a', 1), (2, 'b', 2)")
    const twice = await violated("insert into t values (2, 'b', 2); insert into t values (9, 'b', 2)")
    await expect(world.as('b', "insert into t values (9, 'b', 2)")).rejects.toMatchObject({
      code: '23505',
      constraint: twice,
    })
    await world.as('a', "insert into r values (1, 1, 'a')")
    await expect(world.as('b', "insert into r values (1, 3, 'c')")).rejects.toMatchObject({ code: '23503' })
    const referred = await violated(
      "insert into t values (1, 'a', 1); insert into r values (1, 1, 'a'); delete from t where kind = 'a'",
    )
    await expect(world.as('a', "delete from t where kind = 'a'")).rejects.toMatchObject({
      code: '23503',
      constraint: referred,
    })
    await world.as('a', "insert into child values (1, 'x', 1)")
    expect(await world.as('b', 'select * from base')).toEqual([])
    expect(await world.as('a', 'select id from base')).toEqual([{ id: 1 }])
  })

  async function names(schema: string): Promise<unknown> {
    return world.db.sql(
      `select c.conrelid::regclass::text = '' as x, r.relname, c.conname as name, f.relname as target from pg_constraint c
         join pg_class r on r.oid = conrelid left join pg_class f on f.oid = confrelid
       where connamespace = $1::regnamespace and contype <> 'n'
       union all select false, r.relname, i.relname, null from pg_index x join pg_class i on i.oid = indexrelid
         join pg_class r on r.oid = indrelid where r.relnamespace = $1::regnamespace order by 2, 3, 4`,
      [schema],
    )
  }

  /** The constraint that the pattern names for the same error. */
  async function violated(sql: string): Promise<string> {
    const path = `set local role ${world.home.ownerRole}; set local search_path = ${world.home.pattern};`
    const error: unknown = await world.db.sql(`${path} ${sql}`).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    return String(Reflect.get(error as object, 'constraint'))
  }

  if (version >= 18) {
    test('18: keys without overlaps, foreign keys of periods or not enforced, virtual columns', async () => {
      await world.db.sql('create extension if not exists btree_gist')
      await settle(`create table r (room int, at int4range, v int generated always as (room * 2) virtual,
          primary key (room, at without overlaps));
        create table q (room int, at int4range, n int, foreign key (room, period at) references r (room, period at));
        create table p (id int primary key); alter table q add constraint lax foreign key (n) references p not enforced`)
      expect(await constraints()).toMatchObject({
        'r.r_pkey': 'PRIMARY KEY (tenant_id, room, at WITHOUT OVERLAPS)',
        'q.q_room_at_fkey':
          'FOREIGN KEY (tenant_id, room, PERIOD at) REFERENCES r(tenant_id, room, PERIOD at)',
        'q.lax': 'FOREIGN KEY (tenant_id, n) REFERENCES p(tenant_id, id) NOT ENFORCED',
      })
      await world.as('a', "insert into r values (1, '[1,5)')")
      await world.as('b', "insert into r values (1, '[2,6)')")
      await expect(world.as('b', "insert into q values (1, '[1,3)')")).rejects.toMatchObject({
        code: '23503',
      })
    })
  }

  test('views run as who asks; functions, types and domains are the tenants’ to use', async () => {
    await settle(`create type mood as enum ('ok', 'bad'); create domain label as text check (value <> '');
      create table orders (id int primary key, mood mood default 'ok', label label);
      create view good with (security_barrier) as select id, label from orders where mood = 'ok' with check option;
      create function total(m mood) returns bigint language sql stable as 'select count(*) from orders where mood = m';
      create function total_definer() returns bigint language sql security definer as 'select count(*) from orders';
      create procedure fill(n int) language sql as 'insert into orders (id) select * from generate_series(1, n)';
      create function twice() returns trigger language plpgsql as $$ begin new.label := new.label || '!'; return new; end $$;
      create trigger twice before insert on orders for each row when (new.label is not null) execute function twice()`)
    await world.as('a', 'call fill(3)')
    await world.as('b', "insert into good values (1, 'x')")
    expect(await world.as('b', 'select * from good')).toEqual([{ id: 1, label: 'x!' }])
    expect(await world.as('a', "select total('ok')::int as n, total_definer()::int as d")).toEqual([
      { n: 3, d: 3 },
    ])
    expect(
      await world.asOwner(
        `select has_function_privilege('public', 'total(mood)', 'EXECUTE') as open, reloptions from pg_class where oid = 'good'::regclass`,
      ),
    ).toEqual([
      {
        open: false,
        reloptions: ['security_barrier=true', 'check_option=cascaded', 'security_invoker=true'],
      },
    ])
  })

  test('what is in order is left alone; what somebody changed by hand is put right', async () => {
    await settle(
      'create table orders (id int primary key, note text); create view v as select id from orders',
    )
    const stranger = 'tenantry_tenants'
    await world.asOwner(`alter table orders no force row level security; alter policy tenantry_tenant on orders using (true);
      drop policy tenantry_admin on orders; grant truncate on orders to ${world.home.role}; grant select (id) on orders to ${stranger};
      alter view v reset (security_invoker); create index stray on orders (note); alter table orders alter column tenant_id drop default`)
    const statements = await settle('', '')
    expect(statements.map((statement) => statement.replaceAll(/tny_\w+/g, 'role').split('\n')[0])).toEqual([
      "alter table orders alter column tenant_id set default NULLIF(current_setting('app.current_tenant'::text, true), ''::text)",
      'drop index stray',
      'alter table orders force row level security',
      'drop policy tenantry_tenant on orders',
      'create policy tenantry_tenant on orders for all to public',
      expect.stringMatching(/^create policy tenantry_admin on orders for all to/),
      'revoke all on table orders from tenantry_tenants cascade',
      'revoke all on table orders from role cascade',
      'grant select, insert, update, delete on table orders to role',
      'alter view v set (security_invoker = true)',
    ])
  })

  test('what has no shared form is told with a way out, and nothing is done', async () => {
    await world.db.sql(
      'create table if not exists public.outside (id int); grant all on public.outside to public',
    )
    await world.make(
      `create table bookings (id int, during int4range, exclude using gist (during with &&));
       create table p (id int primary key); create table c (p int references p on update set null, q int references p on update set default);
       create materialized view m as select * from p; create table own (tenant_id int);
       create table ruled (id int); create rule r as on insert to ruled do instead nothing;
       create type kind as (id int); create table typed of kind; create table whole (p p);
       create table open (id int); create policy all_rows on open using (true);
       create table pg_class (id int)`,
      'create table p (id int primary key)',
    )
    const { problems, statements } = await world.derive()
    expect(statements).toEqual([])
    expect(problems.map(({ object }) => object)).toEqual([
      'materialized view m',
      'rule ruled.r',
      'table open',
      'table own',
      'table pg_class',
      'table typed',
      'table p',
      'constraint bookings.bookings_during_excl',
      'constraint c.c_p_fkey',
      'constraint c.c_q_fkey',
    ])
    for (const { reason, wayOut } of problems)
      expect(`${reason} | ${wayOut}`).toMatch(/^\w.+ \| [A-Z].+[^.]$/)
  })

  test('a permissive policy made in the shared schema by hand is a problem', async () => {
    await settle('create table orders (id int primary key)')
    await world.asOwner('create policy reporting on orders using (true)')
    expect((await world.derive()).problems).toMatchObject([{ object: 'table orders' }])
  })
})

test('role, path and context are afterwards as they were', async () => {
  const world = await createFormWorld()
  try {
    await world.make('create table t (id int primary key)')
    await world.admin.transaction(async (tx) => {
      const read = async (): Promise<unknown> =>
        (
          await tx.query(
            `select current_user, current_setting('search_path') as path, current_setting('app.current_tenant', true) as tenant`,
          )
        ).rows
      await tx.query(`set local role ${world.home.ownerRole}; set local search_path = "$user", ${world.home.schema};
        set local app.current_tenant = 'a'`)
      const before = await read()
      await deriveSharedForm(tx, world.home)
      expect(await compareForms(tx, world.home)).toEqual([])
      expect(await read()).toEqual(before)
    })
  } finally {
    await world.close()
  }
})

test('a foreign key that other tenants’ rows break is refused, in whatever context it is made', async () => {
  const world = await createFormWorld()
  try {
    await world.change('create table p (id int primary key); create table c (p int)')
    await world.as('a', 'insert into p values (1)')
    await world.as('b', 'insert into c values (1)')
    await world.make('alter table c add foreign key (p) references p', '')
    const made = world.admin.transaction(async (tx) => {
      await tx.query("set local app.current_tenant = 'a'")
      await deriveSharedForm(tx, world.home)
    })
    await expect(made).rejects.toMatchObject({ code: '23503' })
  } finally {
    await world.close()
  }
})
