/** What keeps a runtime from starting: a login that isolation does not hold, and a pooler that keeps no transaction. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type ControlPlane, createControlPlane } from '../../src/control-plane.ts'
import type { TenancyEvents } from '../../src/core/events.ts'
import type { TenantryError } from '../../src/core/errors.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { withLogin } from '../../src/isolation/logins.ts'
import { holesOf } from '../../src/isolation/known-holes.ts'
import { probeServer } from '../../src/isolation/probe.ts'
import type { Tenancy } from '../../src/tenancy-members.ts'
import { createTenancy } from '../../src/tenancy.ts'
import type { TenancyOptions } from '../../src/tenancy-options.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { findNamingPgBouncer, findPgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { describeOnVersions } from '../support/versions.ts'

/** Roles belong to the whole server: those of this file have names of their own. */
const suffix = randomBytes(4).toString('hex')
const LOGIN = `startup_${suffix}`
const BETWEEN = `between_${suffix}`
const TENANT = `tenant_${suffix}`
const OWNER = `owner_${suffix}`
const PRIVILEGED = `privileged_${suffix}`

let database: TestDatabase
const opened: Tenancy[] = []

function open(options: TenancyOptions): Tenancy {
  const tenancy = createTenancy(options)
  opened.push(tenancy)
  return tenancy
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((tenancy) => tenancy.close({ timeoutMs: 1_000 })))
})

/** Each makes the safe login unsafe in one way alone, and takes it back. */
const RULES: readonly (readonly [title: string, make: string, undo: string, reason: RegExp])[] = [
  ['a superuser', `alter role ${LOGIN} superuser`, `alter role ${LOGIN} nosuperuser`, /is a superuser/],
  ['BYPASSRLS', `alter role ${LOGIN} bypassrls`, `alter role ${LOGIN} nobypassrls`, /has BYPASSRLS/],
  ['CREATEROLE', `alter role ${LOGIN} createrole`, `alter role ${LOGIN} nocreaterole`, /has CREATEROLE/],
  ['REPLICATION', `alter role ${LOGIN} replication`, `alter role ${LOGIN} noreplication`, /has REPLICATION/],
  [
    'the owner of the database',
    `alter database current owner to ${LOGIN}`,
    'alter database current owner to tenantry_admin',
    /owns the database/,
  ],
  [
    'the owner of a table',
    `create table public.mine (n int); alter table public.mine owner to ${LOGIN}`,
    'drop table public.mine',
    /owns 1 schemas or tables/,
  ],
  [
    'a member of the control plane’s login',
    `grant tenantry_admin to ${LOGIN}`,
    `revoke tenantry_admin from ${LOGIN}`,
    /control plane’s login/,
  ],
  [
    'a member of an owner role',
    `grant ${OWNER} to ${LOGIN}`,
    `revoke ${OWNER} from ${LOGIN}`,
    /owner of a tenant’s tables/,
  ],
  [
    'a member of an owner role by way of another role',
    `grant ${OWNER} to ${BETWEEN}; grant ${BETWEEN} to ${LOGIN}`,
    `revoke ${OWNER} from ${BETWEEN}; revoke ${BETWEEN} from ${LOGIN}`,
    /owner of a tenant’s tables/,
  ],
  [
    'a member of the owners’ group itself',
    `grant tenantry_owners to ${LOGIN}`,
    `revoke tenantry_owners from ${LOGIN}`,
    /owner of a tenant’s tables/,
  ],
  ...['superuser', 'bypassrls', 'createrole', 'replication'].map(
    (attribute) =>
      [
        `a member of a role with ${attribute}`,
        `alter role ${PRIVILEGED} ${attribute}; grant ${PRIVILEGED} to ${LOGIN}`,
        `alter role ${PRIVILEGED} no${attribute}; revoke ${PRIVILEGED} from ${LOGIN}`,
        new RegExp(`can become ${PRIVILEGED}`),
      ] as const,
  ),
  [
    'a member of the owner of the database',
    `alter database current owner to ${PRIVILEGED}; grant ${PRIVILEGED} to ${LOGIN}`,
    `alter database current owner to tenantry_admin; revoke ${PRIVILEGED} from ${LOGIN}`,
    /can become the owner of the database/,
  ],
  [
    'one that inherits a tenant’s rights',
    `alter role ${LOGIN} inherit; grant ${TENANT} to ${LOGIN}`,
    `alter role ${LOGIN} noinherit; revoke ${TENANT} from ${LOGIN}`,
    /must be NOINHERIT/,
  ],
  [
    'a member of pg_read_all_data',
    `grant pg_read_all_data to ${LOGIN}`,
    `revoke pg_read_all_data from ${LOGIN}`,
    /member of pg_read_all_data/,
  ],
  [
    'one that may create tables in public',
    `grant create on schema public to ${LOGIN}`,
    `revoke create on schema public from ${LOGIN}`,
    /tables in schema public/,
  ],
  [
    'one that may create schemas',
    `grant create on database current to ${LOGIN}`,
    `revoke create on database current from ${LOGIN}`,
    /may create schemas/,
  ],
  [
    'one that may not bind the context',
    `revoke execute on function set_config(text, text, boolean) from ${LOGIN}`,
    `grant execute on function set_config(text, text, boolean) to ${LOGIN}`,
    /may not call set_config/,
  ],
]

describeOnVersions('the runtime login', [15, 18], (version) => {
  let url: string
  let control: ControlPlane
  beforeAll(async () => {
    database = await createTestDatabase({ version, installed: false })
    await database.sql(`
      revoke execute on function set_config(text, text, boolean) from public;
      grant execute on function set_config(text, text, boolean) to tenantry_admin;
      create role ${LOGIN} login noinherit password 'p';
      create role ${BETWEEN} nologin; create role ${PRIVILEGED} nologin;
      create role ${TENANT} nologin in role tenantry_tenants; create role ${OWNER} nologin in role tenantry_owners;
      grant execute on function set_config(text, text, boolean) to ${LOGIN}`)
    control = createControlPlane({ connection: database.adminUrl, runtimeLogin: LOGIN })
    await control.install()
    url = withLogin(database.superuserUrl, { name: LOGIN, password: 'p' })
  })
  afterAll(async () => {
    await control.close()
    for (const name of [LOGIN, BETWEEN, PRIVILEGED, TENANT, OWNER]) {
      await database.sql(`drop owned by ${name} cascade`)
    }
    await database.drop()
    const admin = createAdminDatabase(withDatabase(database.superuserUrl, 'postgres'), 1)
    await admin.query(`drop role ${LOGIN}, ${BETWEEN}, ${PRIVILEGED}, ${TENANT}, ${OWNER}`)
    await admin.close()
  })

  test.for(RULES)('S12: %s is refused, and the same login without it is not', async (rule) => {
    const [, make, undo, reason] = rule
    const here = (statement: string): string =>
      statement.replace('database current', `database ${database.name}`)
    // The control: it is this right, and nothing else, for which the login is refused.
    await open({ connection: url }).ready()
    await database.sql(here(make))
    try {
      const refused = await open({ connection: url })
        .ready()
        .catch((error: unknown) => error)
      expect(refused).toMatchObject({ code: 'TNY006' })
      expect((refused as TenantryError).message).toMatch(reason)
    } finally {
      await database.sql(here(undo))
    }
    await open({ connection: url }).ready()
  })

  test('the facts name no more than the login, and count the roles that it can enter', async () => {
    const db = createAdminDatabase(url, 1)
    const { login, version: found } = await probeServer(db)
    await db.close()
    expect(Math.floor(found / 10_000)).toBe(version)
    expect(login).toMatchObject({ name: LOGIN, entersPrivileged: [], predefinedRoles: [], memberships: 0 })
  })
})

describe('warnings', () => {
  beforeAll(async () => {
    database = await createTestDatabase()
  })
  afterAll(() => database.drop())

  test('S24: known holes of the server, leaky operators among them, are told by an event and by health(), and refuse nothing', async () => {
    const tenancy = open({ connection: database.appUrl })
    const told: TenancyEvents['server:warning'][] = []
    tenancy.on('server:warning', (warning) => told.push(warning))
    expect((await tenancy.health()).warnings).toEqual(told.map(({ message }) => message))
    const [server] = await database.sql<{ version: number }>(
      "select current_setting('server_version_num')::int as version",
    )
    const holes = holesOf(server?.version ?? 0)
    expect(told.map(({ about }) => about)).toEqual(holes.length > 0 ? ['security fixes'] : [])
    for (const { id } of holes) expect(told[0]?.message).toContain(id)
  })
})

const POOLERS = [
  ['the installed PgBouncer', findPgBouncer()],
  ['one that carries names', findNamingPgBouncer()],
] as const

for (const [which, program] of POOLERS) {
  describe.skipIf(program === undefined)(`a pooler: ${which}`, () => {
    beforeAll(async () => {
      database = await createTestDatabase()
    })
    afterAll(() => database.drop())

    test.for([undefined, 'pgbouncer', 'pgbouncer-prepared'] as const)(
      'P1: in statement mode it is refused at start, told as %s',
      async (pooler) => {
        const bouncer = await startPgBouncer({ program, poolSize: 2, poolMode: 'statement' })
        try {
          const connection = bouncer.through(database.appUrl)
          const tenancy = open({ connection, direct: database.appUrl, pooler })
          await expect(tenancy.ready()).rejects.toMatchObject({ code: 'TNY023' })
          // The control: single statements run behind it as if all were well.
          const client = new pg.Client(connection)
          client.on('error', () => undefined)
          await client.connect()
          expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
          await expect(client.query('begin')).rejects.toMatchObject({ code: '08P01' })
        } finally {
          await bouncer.stop()
        }
      },
    )

    test('P1: in transaction and session mode it serves, resetting always or never', async () => {
      const modes = [
        { poolMode: 'session', settings: { server_reset_query: '' } },
        { poolMode: 'transaction', settings: { server_reset_query_always: '1' } },
      ] as const
      for (const mode of modes) {
        const bouncer = await startPgBouncer({ program, poolSize: 4, preparedStatements: 10, ...mode })
        const tenancy = open({
          connection: bouncer.through(database.appUrl),
          direct: database.appUrl,
          ...(mode.poolMode === 'transaction' && { pooler: 'pgbouncer-prepared' }),
        })
        await tenancy.ready()
        await tenancy.close()
        await bouncer.stop()
      }
    })

    test('S12: a pooler that logs in as somebody else is found out', async () => {
      const forced = `user=${new URL(database.superuserUrl).username}`
      const bouncer = await startPgBouncer({ program, poolSize: 2, server: forced })
      try {
        const tenancy = open({ connection: bouncer.through(database.appUrl), direct: database.appUrl })
        await expect(tenancy.ready()).rejects.toMatchObject({
          code: 'TNY006',
          message: expect.stringContaining('superuser') as string,
        })
      } finally {
        await bouncer.stop()
      }
    })
  })
}

function withDatabase(url: string, name: string): string {
  return Object.assign(new URL(url), { pathname: `/${name}` }).href
}
