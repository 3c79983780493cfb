/** 5,000 tenants with roles of their own, on a server of its own: rights fit their rows, and nothing becomes slow. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { EmbeddedServer } from '../../dev/embedded.ts'
import { prepareDatabase } from '../../dev/project.ts'
import { type ControlPlane, createControlPlane } from '../../src/control-plane.ts'
import type { AdminDatabase } from '../../src/core/database.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { withLogin } from '../../src/isolation/logins.ts'
import { makeTenantRoles, type TenantRoles } from '../../src/isolation/tenant-roles.ts'
import type { Tenancy } from '../../src/tenancy-members.ts'
import { createTenancy } from '../../src/tenancy.ts'
import { startOwnServer } from '../support/own-server.ts'
import { describeOnVersions } from '../support/versions.ts'
import { BUSY_MS } from '../support/wait-for.ts'

const PAIRS = 5_000
const BATCH = 500

describeOnVersions(`${PAIRS} pairs of roles`, [15, 18], (version) => {
  let server: EmbeddedServer
  let superuser: AdminDatabase
  let admin: AdminDatabase
  let plane: ControlPlane
  let tenancy: Tenancy
  const pairs: TenantRoles[] = []

  beforeAll(async () => {
    server = await startOwnServer(version)
    const passwords = await prepareDatabase(server.superuserUrl, { database: 'app' })
    const url = Object.assign(new URL(server.superuserUrl), { pathname: '/app' }).href
    superuser = createAdminDatabase(url, 1)
    // As a superuser, for whom it takes seconds; the admin gets the memberships that it would have as their maker.
    for (let made = 0; made < PAIRS; made += BATCH) {
      const batch = await superuser.transaction((tx) => makeTenantRoles(tx, BATCH, 'tenantry_app'))
      pairs.push(...batch)
      if (version >= 16) {
        const names = batch.flatMap(({ role, ownerRole }) => [role, ownerRole]).join(', ')
        await superuser.query(`grant ${names} to tenantry_admin with admin true, inherit false, set true`)
      }
    }
    const adminUrl = withLogin(url, { name: 'tenantry_admin', password: passwords.admin })
    admin = createAdminDatabase(adminUrl, 1)
    plane = createControlPlane({ connection: adminUrl, migrations: {} })
    tenancy = createTenancy({
      connection: withLogin(url, { name: 'tenantry_app', password: passwords.app }),
      max: 2,
    })
  }, 120_000)
  afterAll(async () => {
    await Promise.all([tenancy.close(), plane.close(), admin.close(), superuser.close()])
    await server.stop()
  })

  test('what all tenants may see is granted to their group; to each of them it fits no row', async () => {
    await admin.query("create table public.countries (code text); insert into countries values ('de')")
    await admin.query('grant select on public.countries to tenantry_tenants')
    await superuser.transaction(async (tx) => {
      await tx.query(`set local role ${pairs.at(-1)?.role}`)
      expect((await tx.query('select code from countries')).rows).toEqual([{ code: 'de' }])
    })
    // The control: grants to the roles themselves.
    await admin.query('create table public.rates (code text)')
    const all = pairs.map(({ role }) => role)
    await admin.query(`grant select on public.rates to ${all.slice(0, 2_000).join(', ')}`)
    await expect(
      admin.query(`grant select on public.rates to ${all.slice(0, 3_000).join(', ')}`),
    ).rejects.toMatchObject({ code: '54000', message: expect.stringContaining('row is too big') as string })
  })

  test('tenants are signed up and served, also while roles change', async () => {
    const startedAt = performance.now()
    for (const key of ['acme', 'globex']) {
      const { home } = await plane.tenants.create({ key })
      await superuser.query(
        `begin; set local role ${home.ownerRole}; create table ${home.schema}.notes as select '${key}'::text as text; commit`,
      )
    }
    expect(performance.now() - startedAt).toBeLessThan(10_000 + BUSY_MS)

    const read = async (key: string): Promise<number> => {
      const sentAt = performance.now()
      expect((await tenancy.poolFor(key).query('select text from notes')).rows).toEqual([{ text: key }])
      return performance.now() - sentAt
    }
    await read('acme')
    const times: number[] = []
    for (let i = 0; i < 100; i += 1) times.push(await read(i % 2 === 0 ? 'acme' : 'globex'))
    const [usual = 0] = times.toSorted((a, b) => a - b).slice(50)
    // A few tenths of a millisecond on a quiet machine: memberships cost nothing while no role changes.
    expect(usual).toBeLessThan(20)
    // The first statement after a change of roles searches the login's memberships.
    await admin.query('create role passer_by nologin; drop role passer_by')
    expect(await read('acme')).toBeLessThan(2_000 + BUSY_MS)
  })

  // Before 16 nothing is searched.
  if (version >= 16) {
    test('the admin makes more roles as one that has made few: by itself it would search all that it made', async () => {
      const asMaker = await timeOf(() => admin.transaction((tx) => makeTenantRoles(tx, 8, 'tenantry_app')))
      const byItself = await timeOf(() =>
        admin.query(
          Array.from(
            { length: 8 },
            (_, index) => `create role lone_${index} nologin; create role lone_${index}_o nologin;
              grant lone_${index}, lone_${index}_o to current_user with inherit false, set true;
              grant tenantry_tenants to lone_${index}; grant tenantry_owners to lone_${index}_o;
              grant lone_${index} to tenantry_app with inherit false, set true;`,
          ).join('\n'),
        ),
      )
      expect(asMaker * 3).toBeLessThan(byItself)
    })
  }

  test('beyond the bound the runtime is warned, and serves', async () => {
    await tenancy.ready()
    const { ok, warnings } = await tenancy.health()
    expect(ok).toBe(true)
    const bound = version >= 16 ? '5000' : '2000'
    expect(warnings).toContainEqual(
      expect.stringMatching(new RegExp(`^tenantry_app can enter \\d+ roles; beyond ${bound},`)),
    )
  })
})

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}
