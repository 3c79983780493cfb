import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createFormWorld, type FormWorld } from './form-world.ts'

let world: FormWorld
beforeAll(async () => {
  world = await createFormWorld()
})
afterAll(() => world.close())
afterEach(() => world.clear())

/** What the attacks are without the shared form: row security alone, on tables as the migrations wrote them. */
async function policyAlone(...tables: string[]): Promise<void> {
  for (const table of tables) {
    await world.asOwner(`alter table ${table} add tenant_id text default tenantry.current_tenant();
      alter table ${table} enable row level security, force row level security;
      create policy tenantry_tenant on ${table} using (tenant_id = (select tenantry.current_tenant()));
      grant select, insert, update, delete on ${table} to ${world.home.role}`)
  }
}

const MINE = 'create table orders (id int primary key, note text)'

/** Derives the table, with a row of each tenant. */
async function twoTenants(): Promise<void> {
  await world.change(MINE)
  for (const tenant of ['a', 'b']) await world.as(tenant, `insert into orders values (1, '${tenant}')`)
}

test('S9: a unique value tells nothing of other tenants; a unique constraint of the table alone does', async () => {
  const text = 'create table users (email text unique)'
  await world.change(text)
  await world.as('a', "insert into users values ('x')")
  await world.as('b', "insert into users values ('x')")
  await world.clear()
  await world.make(text)
  await policyAlone('users')
  await world.as('a', "insert into users values ('x')")
  await expect(world.as('b', "insert into users values ('x')")).rejects.toMatchObject({ code: '23505' })
})

test('S10: a foreign key tells nothing of other tenants’ rows; one of the table alone does', async () => {
  const text = 'create table p (id int primary key); create table c (p int references p)'
  await world.change(text)
  await world.as('a', 'insert into p values (77)')
  for (const id of [77, 78]) {
    await expect(world.as('b', `insert into c values (${id})`)).rejects.toMatchObject({ code: '23503' })
  }
  await world.clear()
  await world.make(text)
  await policyAlone('p', 'c')
  await world.as('a', 'insert into p values (77)')
  await world.as('b', 'insert into c values (77)')
  await expect(world.as('b', 'insert into c values (78)')).rejects.toMatchObject({ code: '23503' })
})

test('S10: what a foreign key does to other rows stays with the tenant', async () => {
  await world.change(`create table p (id int primary key); create table c (id int, p int references p on delete cascade on update cascade);
    create table n (p int references p on delete set null)`)
  for (const tenant of ['a', 'b']) {
    await world.as(tenant, 'insert into p values (1)')
    await world.as(tenant, 'insert into c values (1, 1)')
    await world.as(tenant, 'insert into n values (1)')
  }
  await world.as('a', 'delete from c')
  await world.as('a', 'delete from p')
  expect(await world.asOwner('select p, tenant_id from n order by tenant_id')).toEqual([
    { p: null, tenant_id: 'a' },
    { p: 1, tenant_id: 'b' },
  ])
  expect(await world.as('b', 'select count(*)::int as n from c join p on p.id = c.p')).toEqual([{ n: 1 }])
})

test('S11: nobody truncates shared tables; with the right to it all tenants’ rows are gone', async () => {
  await twoTenants()
  await expect(world.as('a', 'truncate orders')).rejects.toMatchObject({ code: '42501' })
  await world.asOwner(`grant truncate on orders to ${world.home.role}`)
  await world.as('a', 'truncate orders')
  expect(await world.asOwner('select from orders')).toEqual([])
  await world.derive()
  await expect(world.as('a', 'truncate orders')).rejects.toMatchObject({ code: '42501' })
})

test('S12: a definer function of the tables’ owner is held to the tenant; without FORCE it is not', async () => {
  await world.change(
    `${MINE}; create function notes() returns setof text language sql security definer as 'select note from orders'`,
  )
  for (const tenant of ['a', 'b']) await world.as(tenant, `insert into orders values (1, '${tenant}')`)
  expect(await world.as('a', 'select * from notes()')).toEqual([{ notes: 'a' }])
  // Nor does it get the owner's own view of all rows, by a session without a context.
  expect(await world.as('a', 'select * from notes()', "set local app.current_tenant = ''")).toEqual([])
  await world.asOwner('alter table orders no force row level security')
  expect(await world.as('a', 'select * from notes()')).toHaveLength(2)
})

test('S13: row_security = off is an error, and a bypass only for roles that may', async () => {
  await twoTenants()
  const attack = (): Promise<unknown[]> =>
    world.as('a', 'select note from orders', 'set local row_security = off')
  await expect(attack()).rejects.toMatchObject({ code: '42501' })
  await world.db.sql(`alter role ${world.home.role} bypassrls`)
  try {
    expect(await attack()).toHaveLength(2)
  } finally {
    await world.db.sql(`alter role ${world.home.role} nobypassrls`)
  }
})

test('S14: COPY FROM is refused by the server with a hint to INSERT; without row security it is taken', async () => {
  await twoTenants()
  const attack = (): Promise<unknown[]> => world.as('a', 'copy orders (id, note) from stdin')
  await expect(attack()).rejects.toMatchObject({
    code: '0A000',
    hint: expect.stringContaining('INSERT') as string,
  })
  await world.asOwner('alter table orders disable row level security')
  // The server waits for rows, which this client does not send.
  await expect(attack()).rejects.toMatchObject({ code: '57014' })
})

test('S27: the setting alone opens nothing; with a policy on the setting it does', async () => {
  await twoTenants()
  const attack = (): Promise<unknown[]> =>
    world.as('a', 'select note from orders', "set local app.current_tenant = 'b'")
  expect(await attack()).toEqual([])
  await world.asOwner(
    "alter policy tenantry_tenant on orders using (tenant_id = current_setting('app.current_tenant', true))",
  )
  expect(await attack()).toEqual([{ note: 'b' }])
  expect((await world.derive()).statements).toHaveLength(2)
  expect(await attack()).toEqual([])
})

test('S30: a partition is not read directly; with a right to it only by its own policies, without them by anybody', async () => {
  await world.change(`create table events (id int, kind text) partition by list (kind);
    create table events_x partition of events for values in ('x')`)
  for (const tenant of ['a', 'b']) await world.as(tenant, "insert into events values (1, 'x')")
  const attack = (): Promise<unknown[]> => world.as('a', 'select tenant_id from events_x')
  await expect(attack()).rejects.toMatchObject({ code: '42501' })
  await world.asOwner(`grant select on events_x to ${world.home.role}`)
  expect(await attack()).toEqual([{ tenant_id: 'a' }])
  await world.asOwner('alter table events_x disable row level security')
  expect(await attack()).toHaveLength(2)
  // A derivation closes both again.
  await world.derive()
  await expect(attack()).rejects.toMatchObject({ code: '42501' })
})

test('S30: a child that inherits is read directly, but only the tenant’s rows of it', async () => {
  await world.change('create table base (id int); create table child () inherits (base)')
  for (const tenant of ['a', 'b']) await world.as(tenant, 'insert into child values (1)')
  const attack = (): Promise<unknown[]> => world.as('a', 'select tenant_id from child')
  expect(await attack()).toEqual([{ tenant_id: 'a' }])
  await world.asOwner('alter table child disable row level security')
  expect(await attack()).toHaveLength(2)
})

test('the policy is asked once a statement, and the index led by tenant_id is in use', async () => {
  await world.change(
    `create table orders (id int primary key, at int, note text); create index orders_at on orders (at)`,
  )
  await world.db.sql(`insert into tenant_shared.orders (tenant_id, id, at, note)
    select t, n, n, 'note' from unnest('{a,b,c,d,e}'::text[]) t, generate_series(1, 10000) n`)
  await world.asOwner('analyze orders')
  for (const [query, index] of [
    ['select * from orders where id = 5000', 'orders_pkey'],
    ['select * from orders where at > 9000 order by at limit 20', 'orders_at'],
    ['update orders set note = $$x$$ where id = 7', 'orders_pkey'],
  ] as const) {
    const plan = (await world.as<{ 'QUERY PLAN': string }>('a', `explain ${query}`)).map(
      (row) => row['QUERY PLAN'],
    )
    const conditions = plan.filter((line) => line.includes('tenant_id ='))
    expect(conditions, plan.join('\n')).toEqual([
      expect.stringMatching(/Index Cond: \(\(tenant_id = \(?(InitPlan \d\)\.col1|\$0)\)/),
    ])
    expect(plan.filter((line) => /^\s*InitPlan/.test(line)).length).toBeGreaterThan(0)
    expect(plan.join('\n')).toContain(`using ${index} on orders`)
    expect(plan.join('\n')).not.toContain('current_tenant')
  }
})
