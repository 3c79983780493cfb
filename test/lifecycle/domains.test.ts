/** Who gets a domain: what the DNS says decides, and nothing else. The DNS is a map that the tests write. */
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { domainProblem, isWithin, requireDomain } from '../../src/core/domain.ts'
import { type ControlPlane, createControlPlane, type TenantDomain } from '../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
let control: ControlPlane
let records: Map<string, string[]>

const lookup = async (name: string): Promise<string[][]> => {
  const values = records.get(name)
  if (values === undefined) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })
  // Long values come in pieces.
  return values.map((value) => [value.slice(0, 9), value.slice(9)])
}
const publish = ({ record }: TenantDomain, ...others: TenantDomain[]): void => {
  records.set(record.name, ['v=spf1 -all', record.value, ...others.map((other) => other.record.value)])
}
const holderOf = async (domain: string): Promise<string[]> =>
  (
    await database.sql<{ key: string }>(
      `select k.key from tenantry.domains d join tenantry.keys k using (tenant_id)
       where d.domain = $1 and d.verified_at is not null`,
      [domain],
    )
  ).map(({ key }) => key)

beforeAll(async () => {
  database = await createTestDatabase()
  control = createControlPlane({ connection: database.adminUrl, roots: ['example.com:3000'] })
  for (const key of ['acme', 'globex', 'hooli']) await control.tenants.create({ key })
})
afterAll(async () => {
  await control.close()
  await database.drop()
})
beforeEach(() => {
  records = new Map()
})

describe('claiming and proving', () => {
  test('a claim gives the record to publish, and names nobody; the record makes it the tenant’s', async () => {
    const claim = await control.domains.add('acme', 'Shop.Acme.Example.')
    expect(claim).toMatchObject({ domain: 'shop.acme.example', verifiedAt: undefined })
    expect(claim.record).toEqual({
      type: 'TXT',
      name: '_tenantry.shop.acme.example',
      value: expect.stringMatching(/^tenantry-[0-9a-f]{32}$/),
    })
    await expect(control.domains.verify('shop.acme.example', { lookup })).rejects.toMatchObject({
      code: 'TNY314',
      message: expect.stringContaining('not there'),
    })
    expect(await holderOf('shop.acme.example')).toEqual([])
    publish(claim)
    const verified = await control.domains.verify('shop.acme.example', { lookup })
    expect(verified).toMatchObject({ record: claim.record, verifiedAt: expect.any(Date) })
    expect(await control.domains.add('acme', 'shop.acme.example')).toEqual(verified)
    expect(await control.domains.list('acme')).toEqual([verified])
    expect(await holderOf('shop.acme.example')).toEqual(['acme'])
  })

  test('claims take nothing: a squatter’s neither keeps the owner out, nor proves anything with the owner’s record', async () => {
    const squatter = await control.domains.add('globex', 'squat.example')
    const owner = await control.domains.add('acme', 'squat.example')
    expect(squatter.record.value).not.toBe(owner.record.value)
    publish(owner)
    const asSquatter = { tenant: 'globex', domain: 'squat.example' }
    await expect(control.domains.verify(asSquatter, { lookup })).rejects.toMatchObject({ code: 'TNY314' })
    expect((await control.domains.verify('squat.example', { lookup })).tenantId).toBe(owner.tenantId)
    await expect(control.domains.verify(asSquatter, { lookup })).rejects.toMatchObject({ code: 'TNY314' })
    expect(await holderOf('squat.example')).toEqual(['acme'])
  })

  test('while the DNS names its tenant another gets TNY313; once it names the other alone, the domain goes over', async () => {
    const former = await control.domains.add('acme', 'sold.example')
    const later = await control.domains.add('globex', 'sold.example')
    publish(former)
    await control.domains.verify('sold.example', { lookup })
    publish(former, later)
    const target = { tenant: 'globex', domain: 'sold.example' }
    await expect(control.domains.verify(target, { lookup })).rejects.toMatchObject({ code: 'TNY313' })
    // Nobody said whom: the tenant that has it keeps it.
    expect((await control.domains.verify('sold.example', { lookup })).tenantId).toBe(former.tenantId)
    publish(later)
    await control.domains.verify(target, { lookup })
    expect(await holderOf('sold.example')).toEqual(['globex'])
  })

  test('where the DNS holds the records of two tenants and neither has it, TNY314 until one is named', async () => {
    const [one, two] = [
      await control.domains.add('acme', 'both.example'),
      await control.domains.add('globex', 'both.example'),
    ]
    publish(one, two)
    await expect(control.domains.verify('both.example', { lookup })).rejects.toMatchObject({
      code: 'TNY314',
      message: expect.stringContaining('several tenants'),
    })
    await control.domains.verify({ tenant: 'globex', domain: 'both.example' }, { lookup })
    expect(await holderOf('both.example')).toEqual(['globex'])
  })

  test('proven twice at one moment, it is one tenant’s; the database holds that too', async () => {
    const claims = [
      await control.domains.add('acme', 'race.example'),
      await control.domains.add('globex', 'race.example'),
      await control.domains.add('hooli', 'race.example'),
    ] as const
    publish(...claims)
    const outcomes = await Promise.allSettled(
      ['acme', 'globex', 'hooli'].map((tenant) =>
        control.domains.verify({ tenant, domain: 'race.example' }, { lookup }),
      ),
    )
    const refused = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason.code] : []))
    expect(refused).toEqual(['TNY313', 'TNY313'])
    expect(await holderOf('race.example')).toHaveLength(1)
    await expect(
      database.sql("update tenantry.domains set verified_at = now() where domain = 'race.example'"),
    ).rejects.toMatchObject({ code: '23505' })
  })

  test('TNY315 where the DNS does not answer, which proves nothing; also where it never does', async () => {
    await control.domains.add('acme', 'broken.example')
    const broken = async (): Promise<never> => {
      throw Object.assign(new Error('queryTxt ESERVFAIL'), { code: 'ESERVFAIL' })
    }
    await expect(control.domains.verify('broken.example', { lookup: broken })).rejects.toMatchObject({
      code: 'TNY315',
      status: 503,
    })
  })

  test('TNY316 for what nobody claims, without asking the DNS; a claim that was given up proves nothing', async () => {
    const asked: string[] = []
    const listening = async (name: string): Promise<string[][]> => {
      asked.push(name)
      return lookup(name)
    }
    await expect(control.domains.verify('nobody.example', { lookup: listening })).rejects.toMatchObject({
      code: 'TNY316',
    })
    expect(asked).toEqual([])
    const claim = await control.domains.add('acme', 'given-up.example')
    publish(claim)
    await control.domains.verify('given-up.example', { lookup })
    await expect(control.domains.remove('globex', 'given-up.example')).rejects.toMatchObject({
      code: 'TNY316',
    })
    await control.domains.remove('acme', 'given-up.example')
    expect(await holderOf('given-up.example')).toEqual([])
    // Its record is still in the DNS: claimed again, there is another token to show.
    const again = await control.domains.add('acme', 'given-up.example')
    expect(again.record.value).not.toBe(claim.record.value)
    await expect(control.domains.verify('given-up.example', { lookup })).rejects.toMatchObject({
      code: 'TNY314',
    })
  })

  test('a suspended tenant may prove a domain; one that is being erased may not', async () => {
    const { id } = await control.tenants.create({ key: 'leaving' })
    await control.tenants.suspend('leaving')
    publish(await control.domains.add('leaving', 'leaving.example'))
    await control.domains.verify('leaving.example', { lookup })
    await database.sql("update tenantry.tenants set status = 'archived' where id = $1", [id])
    await expect(control.domains.add('leaving', 'more.example')).rejects.toMatchObject({ code: 'TNY303' })
    await expect(control.domains.verify('leaving.example', { lookup })).rejects.toMatchObject({
      code: 'TNY303',
    })
    await expect(control.domains.add('nobody', 'more.example')).rejects.toMatchObject({ code: 'TNY302' })
  })
})

describe('asking again', () => {
  const aged = (domain: string): Promise<unknown> =>
    database.sql("update tenantry.domains set checked_at = now() - interval '2 days' where domain = $1", [
      domain,
    ])

  test('a domain whose record is gone is kept for a while, then lost; one that cannot be asked about stays', async () => {
    const [kept, gone, broken] = [
      await control.domains.add('hooli', 'kept.example'),
      await control.domains.add('hooli', 'gone.example'),
      await control.domains.add('hooli', 'dead-dns.example'),
    ]
    for (const claim of [kept, gone, broken]) {
      publish(claim)
      await control.domains.verify(claim.domain, { lookup })
      await aged(claim.domain)
    }
    records.delete(gone.record.name)
    const asking = async (name: string): Promise<string[][]> => {
      if (name === broken.record.name) throw new Error('timeout')
      return lookup(name)
    }
    expect(await control.domains.recheck({ lookup: asking })).toEqual({
      kept: 1,
      missing: ['gone.example'],
      lost: [],
      unknown: ['dead-dns.example'],
    })
    expect(await holderOf('gone.example')).toEqual(['hooli'])
    // Asked a moment ago.
    expect(await control.domains.recheck({ lookup: asking })).toMatchObject({
      kept: 0,
      missing: [],
      lost: [],
    })
    await aged('gone.example')
    expect(await control.domains.recheck({ lookup: asking, graceMs: 0 })).toMatchObject({
      lost: ['gone.example'],
    })
    expect(await holderOf('gone.example')).toEqual([])
    // Published again it counts again: the claim and its token are still there.
    publish(gone)
    await control.domains.verify('gone.example', { lookup })
    expect(await holderOf('gone.example')).toEqual(['hooli'])
  })

  test('many are asked about page by page, each once', async () => {
    const tenant = await control.tenants.get('hooli')
    await database.sql(
      `insert into tenantry.domains (domain, tenant_id, token, verified_at, checked_at)
       select 'd' || n || '.many.example', $1, 'x', now(), now() - interval '2 days' from generate_series(1, 55) n`,
      [tenant.id],
    )
    const asked: string[] = []
    const failing = async (name: string): Promise<never> => {
      asked.push(name)
      throw new Error('timeout')
    }
    const report = await control.domains.recheck({ lookup: failing })
    expect(report.unknown.filter((domain) => domain.endsWith('.many.example'))).toHaveLength(55)
    expect(new Set(asked).size).toBe(asked.length)
  })
})

describe('what is a domain', () => {
  test.each([
    ['example.com', 'own'],
    ['globex.example.com', 'own'],
    ['a.b.example.com', 'own'],
    ['localhost', 'one label'],
    ['com', 'one label'],
    ['10.0.0.1', 'IP address'],
    ['0x7f.1', 'IP address'],
    ['[::1]', 'host name'],
    ['::1', 'host name'],
    ['*.acme.example', 'wildcard'],
    ['shop.acme.example:443', 'port'],
    ['https://shop.acme.example/', 'path'],
    ['a_b.acme.example', 'host name'],
    ['-a.acme.example', 'host name'],
    ['a..example', 'host name'],
    ['.example', 'host name'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['\u212aelvin.example', 'ASCII'],
    ['а\u0441me.example', 'xn--'],
    ['acme.example\0', 'host name'],
    ["acme.example'--", 'host name'],
    ['', 'empty'],
    [`${'a.'.repeat(122)}bc`, 'longer'],
    [`${'a'.repeat(64)}.example`, 'host name'],
    [17, 'empty'],
  ])('I2 I6 I7: %j is refused before any SQL: %s', async (domain, reason) => {
    await expect(control.domains.add('acme', domain as string)).rejects.toMatchObject({
      code: 'TNY110',
      status: 400,
      message: expect.stringContaining(reason),
    })
  })

  test('names beside a root, and punycode, are domains', () => {
    for (const domain of [
      'notexample.com',
      'example.com.evil.example',
      'xn--bcher-kva.example',
      'a.b.c.d.example',
    ]) {
      expect(requireDomain(domain)).toBe(domain)
      expect(isWithin(domain, ['example.com'])).toBe(false)
    }
  })

  test('I2: whatever is accepted has one form, which browsers send, and which the database takes', async () => {
    const part = fc.oneof(
      fc.constantFrom(
        'a',
        'xn--bcher-kva',
        '-',
        '_',
        '.',
        '*',
        'A',
        '1',
        '0x1',
        'é',
        '\u212a',
        ' ',
        ':',
        'ß',
      ),
      fc.string({ maxLength: 3 }),
    )
    const accepted: string[] = []
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 8 }).map((parts) => `${parts.join('')}.example`),
        (text) => {
          if (domainProblem(text) !== undefined) return
          expect(new URL(`http://${text}/`).hostname).toBe(text)
          expect(requireDomain(text.toUpperCase())).toBe(text)
          accepted.push(text)
        },
      ),
      { numRuns: 5_000 },
    )
    expect(accepted.length).toBeGreaterThan(50)
    const { id } = await control.tenants.get('acme')
    await database.sql(
      "insert into tenantry.domains (domain, tenant_id, token) select distinct unnest($1::text[]), $2, 'x' on conflict do nothing",
      [accepted, id],
    )
  })

  test('TNY002 for roots and prefixes that are none', async () => {
    for (const options of [{ roots: ['*.example.com'] }, { apiKeyPrefix: 'No!' }]) {
      const wrong = createControlPlane({ connection: database.adminUrl, ...options })
      await expect(wrong.tenants.list()).rejects.toMatchObject({ code: 'TNY002' })
      await wrong.close()
    }
  })
})
