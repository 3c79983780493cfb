import { afterAll, beforeAll, expect, test } from 'vitest'
import { createGuard } from '../../src/isolation/guard.ts'
import { prove, type ProveOptions, type ProveParts } from '../../src/prove/prove.ts'
import type { Breach, ProofReport } from '../../src/prove/report.ts'
import { readProof } from '../../src/catalog/tenant-store.ts'
import { openPlainGateway } from './plain-gateway.ts'
import { createProofWorld, type ProofWorld } from './proof-world.ts'

const TIMEOUT = 180_000

let world: ProofWorld
beforeAll(async () => {
  world = await createProofWorld()
  await world.plane.tenants.create({ key: 'acme', model: 'shared' })
}, TIMEOUT)
afterAll(() => world.close())

/** Proves with the database broken meanwhile, and mends it. */
async function proveBroken(
  broken: string,
  mended: string,
  options: ProveOptions,
  parts: ProveParts = world.parts(),
): Promise<ProofReport> {
  await world.db.sql(broken)
  try {
    return await prove(parts, options)
  } finally {
    await world.db.sql(mended)
  }
}

function breachesOf(report: ProofReport, threat: string): readonly Breach[] {
  return report.cases.filter((each) => each.case === threat).flatMap(({ breaches }) => breaches)
}

/** The parts with a guard that lets through what it should not, and with no wall behind it but the roles'. */
async function withGuard(refuses: (text: string) => boolean): Promise<ProveParts> {
  const guard = createGuard()
  await guard.load()
  const check = (text: string): void => {
    if (refuses(text)) guard.check(text, 'tenant')
  }
  return {
    ...world.parts(),
    openTenancy: () => openPlainGateway(world.db.appUrl, check, (id) => readProof(world.admin, id)),
  }
}

const SCHEMA = { model: 'schema', tier: 'guarded' } as const
const SHARED = { model: 'shared', tier: 'guarded' } as const

test(
  'S2: set_config for everybody is told as enforcement by the guard, which still holds',
  async () => {
    const right = 'execute on function pg_catalog.set_config(text, text, boolean)'
    const report = await proveBroken(`grant ${right} to public`, `revoke ${right} from public`, SCHEMA)
    expect(report.failed).toBe(0)
    expect(report.tiers).toMatchObject([{ achieved: 'guarded', enforcement: 'guard' }])
    expect(report.tiers[0]?.open).toContain('EXECUTE on set_config(text,text,boolean)')
    expect(report.tiers[0]?.onlyGuard).toContain('S2')
    // The control: in a sound database the same is the server's, but for what leaves the role.
    const sound = await prove(world.parts(), SCHEMA)
    expect(sound.tiers).toMatchObject([{ enforcement: 'database', onlyGuard: ['S4', 'S6', 'S29'], open: [] }])
  },
  TIMEOUT,
)

test(
  'S2: without a guard, set_config for everybody is seen to reach the other tenant',
  async () => {
    const right = 'execute on function pg_catalog.set_config(text, text, boolean)'
    const parts = await withGuard(() => false)
    const report = await proveBroken(`grant ${right} to public`, `revoke ${right} from public`, SCHEMA, parts)
    expect(report.ok).toBe(false)
    expect(report.tiers).toMatchObject([{ achieved: 'none', enforcement: 'guard' }])
    expect(breachesOf(report, 'S2')).toContainEqual(
      expect.objectContaining({
        harm: 'leak',
        way: 'gateway',
        seen: expect.arrayContaining([expect.stringContaining('canary')]) as string[],
      }),
    )
  },
  TIMEOUT,
)

test(
  'S5: a guard that allows DO is found, with the rows seen',
  async () => {
    const report = await proveBroken(
      'grant usage on language plpgsql to public',
      'revoke usage on language plpgsql from public',
      SCHEMA,
      await withGuard((text) => !/^\W*do\b/i.test(text)),
    )
    expect(report.ok).toBe(false)
    expect(breachesOf(report, 'S5')).toContainEqual(
      expect.objectContaining({
        harm: 'leak',
        seen: expect.arrayContaining([expect.stringContaining('canary')]) as string[],
      }),
    )
    expect(breachesOf(report, 'S4')).toEqual([])
  },
  TIMEOUT,
)

test(
  'P2: a guard that allows session settings is found by what the next tenant meets',
  async () => {
    const parts = await withGuard((text) => !/^\W*set\s+(session\s+)?(statement_timeout|time)/i.test(text))
    const report = await prove(parts, SCHEMA)
    expect(breachesOf(report, 'P2')).toContainEqual(
      expect.objectContaining({ harm: 'state', statement: "set time zone 'Asia/Tokyo'" }),
    )
  },
  TIMEOUT,
)

test(
  'P4, P6, P7: one connection for all, in the order of asking, which tells nothing of its loss and does not heal, is found',
  async () => {
    const report = await prove(await withGuard(() => true), SCHEMA)
    const seen = (threat: string): string => JSON.stringify(breachesOf(report, threat))
    expect(seen('P4')).toMatch(/the outcome is unknown|it failed/)
    expect(seen('P6')).toContain('it waited for all 100 statements of the other')
    expect(seen('P7')).toMatch(/the connection was lost, and it was told|it failed/)
    // The control: with Tenantry's own gateway none of them is.
    const sound = await prove(world.parts(), SCHEMA)
    expect(sound.failed).toBe(0)
    expect(sound.cases.map((each) => each.case)).toEqual(expect.arrayContaining(['P4', 'P6', 'P7']))
  },
  TIMEOUT,
)

test(
  'S29: a guard that allows PREPARE and cursors WITH HOLD is found by what they leave',
  async () => {
    const parts = await withGuard((text) => !/^\W*(prepare|declare)\b/i.test(text))
    const report = await prove(parts, SCHEMA)
    const seen = breachesOf(report, 'S29').flatMap((breach) => breach.seen)
    expect(seen).toContainEqual(expect.stringMatching(/^prepared statements: 1/))
    expect(seen).toContainEqual(expect.stringMatching(/^cursors: 1/))
  },
  TIMEOUT,
)

test(
  'S27: a table in public with rows of tenants and no policy is read, and told by the lint',
  async () => {
    const report = await proveBroken(
      `create table public.invoices (tenant_id text, note text);
     insert into public.invoices select id, 'private' from tenantry.tenants where status = 'active' limit 1;
     grant select on public.invoices to tenantry_tenants`,
      'drop table public.invoices',
      SCHEMA,
    )
    expect(report.ok).toBe(false)
    const [breach] = breachesOf(report, 'S1')
    expect(breach).toMatchObject({
      attack: 'reads public.invoices',
      harm: 'leak',
      seen: ['a row of another tenant'],
    })
    expect(report.lint).toContainEqual(
      expect.objectContaining({ object: 'public.invoices', severity: 'error' }),
    )
    // Of tenants that are not the proof's own nothing is told.
    expect(JSON.stringify(report)).not.toContain('private')
  },
  TIMEOUT,
)

test(
  'S12: a shared table whose row security was switched off is read',
  async () => {
    const report = await proveBroken(
      'alter table tenant_shared.orders disable row level security',
      'alter table tenant_shared.orders enable row level security',
      SHARED,
    )
    expect(report.ok).toBe(false)
    expect(breachesOf(report, 'S1')).toContainEqual(
      expect.objectContaining({ attack: 'reads tenant_shared.orders', harm: 'leak' }),
    )
  },
  TIMEOUT,
)

test(
  'S7: a function that runs with its owner’s rights and gives other tenants’ rows is called',
  async () => {
    const create = `create function public.all_notes() returns setof text language sql security definer
    set search_path = pg_catalog as 'select note from tenant_shared.orders';
    grant execute on function public.all_notes() to tenantry_tenants`
    const drop = 'drop function public.all_notes()'
    const report = await proveBroken(create, drop, SHARED)
    const [breach] = breachesOf(report, 'S7')
    expect(breach).toMatchObject({ statement: 'select * from public.all_notes()', harm: 'leak' })
    expect(breach?.seen.join()).toContain('canary')
    // Not where functions are not to be called.
    const careful = await proveBroken(create, drop, { ...SHARED, calls: false })
    expect(breachesOf(careful, 'S7')).toEqual([])
  },
  TIMEOUT,
)

test(
  'S8: a view that runs with its owner’s rights is read',
  async () => {
    const report = await proveBroken(
      `create view public.all_orders as select note from tenant_shared.orders;
     grant select on public.all_orders to tenantry_tenants`,
      'drop view public.all_orders',
      SHARED,
    )
    expect(breachesOf(report, 'S8')).toContainEqual(
      expect.objectContaining({
        attack: 'reads public.all_orders',
        seen: expect.arrayContaining([expect.stringContaining('canary')]) as string[],
      }),
    )
  },
  TIMEOUT,
)

test(
  'S1: rights on another tenant’s schema are found, what was changed too, and the rows are put back',
  async () => {
    let broken = false
    const report = await prove(world.parts(), {
      ...SCHEMA,
      onProgress(line) {
        if (broken || !line.includes('attack 0')) return
        broken = true
        // Whoever proves is told before each part begins: nothing else says when both tenants are there.
        granting = grantAcross()
      },
    })
    await granting
    const harms = new Set(breachesOf(report, 'S1').map(({ harm }) => harm))
    expect([...harms].toSorted()).toEqual(['changed', 'leak'])
    expect(report.tiers).toMatchObject([{ achieved: 'none', untouched: true }])
  },
  TIMEOUT,
)

let granting: Promise<unknown> | undefined
async function grantAcross(): Promise<void> {
  const rows = await world.db.sql<{ role: string; schema: string }>(
    "select role_name as role, schema_name as schema from tenantry.tenants where model = 'schema' and status = 'active' order by created_at desc limit 2",
  )
  for (const { role } of rows) {
    for (const { schema } of rows) {
      await world.db.sql(
        `grant usage on schema ${schema} to ${role}; grant all on all tables in schema ${schema} to ${role}`,
      )
    }
  }
}
