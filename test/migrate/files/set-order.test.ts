/** The order between shared and tenant migrations. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Migration, USUAL_OPTIONS } from '../../../src/migrate/files/migration.ts'
import { planSets } from '../../../src/migrate/files/set-order.ts'

type SetName = 'shared' | 'tenant'

function migrations(set: SetName, names: readonly string[]): Migration[] {
  const other = set === 'shared' ? 'tenant' : 'shared'
  return names.map((said, version) => {
    const [name = '', ...after] = said.split(' > ')
    const waits = after.map((reference) => {
      const [where, what = reference] = reference.includes('/') ? reference.split('/') : [other, reference]
      return { set: where as SetName, name: what, line: 2 }
    })
    const script = {
      up: 'select 1',
      line: 1,
      statements: [0],
      checksum: name,
      options: USUAL_OPTIONS,
      ignores: [],
    }
    return { name, file: `${set}/${name}.sql`, version, ...script, down: undefined, after: waits }
  })
}

function plan(shared: readonly string[], tenant: readonly string[]): string[] {
  const stages = planSets(migrations('shared', shared), migrations('tenant', tenant))
  for (const { migrations: own, to } of stages) expect(own.at(-1)?.name).toBe(to)
  return stages.map(({ set, migrations: own }) => `${set}: ${own.map(({ name }) => name).join(' ')}`)
}

test('without a word of the files the shared set is first', () => {
  expect(plan(['1', '2'], ['1', '2', '3'])).toEqual(['shared: 1 2', 'tenant: 1 2 3'])
  expect(plan([], ['1'])).toEqual(['tenant: 1'])
  expect(plan(['1'], [])).toEqual(['shared: 1'])
  expect(plan([], [])).toEqual([])
})

test('a shared migration waits for all tenants; what is behind it waits too', () => {
  expect(plan(['1', '2', '9 > 3', '10'], ['1', '3', '4'])).toEqual([
    'shared: 1 2',
    'tenant: 1 3',
    'shared: 9 10',
    'tenant: 4',
  ])
  expect(plan(['8 > 1.sql', '9 > 3'], ['1', '3 > 8'])).toEqual([
    'tenant: 1',
    'shared: 8',
    'tenant: 3',
    'shared: 9',
  ])
})

test('a tenant migration may say what is so anyway', () => {
  expect(plan(['1', '2'], ['1 > 2'])).toEqual(['shared: 1 2', 'tenant: 1'])
})

test.each<[shared: string[], tenant: string[], message: RegExp]>([
  [['9 > 3'], ['1'], /shared\/9\.sql cannot run in the order.*there is no migration tenant\/3 \(line 2\)/],
  [['1', '9 > shared/1'], [], /of its own set/],
  [['9 > 3'], ['1', '3 > 9'], /tenant\/3\.sql cannot run.*shared\/9\.sql in turn waits for it/],
  [['9 > 3'], ['1 > 9', '3'], /tenant\/1\.sql cannot run.*or for one behind it/],
])('%j and %j is refused', (shared, tenant, message) => {
  expect(() => plan(shared, tenant)).toThrow(message)
})

test('every wait is kept, or refused', () => {
  const set = fc.array(fc.option(fc.nat(7), { freq: 3 }), { maxLength: 7 })
  fc.assert(
    fc.property(set, set, (shared, tenant) => {
      const named = (waits: (number | null)[]): string[] =>
        waits.map((wait, index) => (wait === null ? String(index) : `${index} > ${wait}`))
      let order: string[]
      try {
        order = plan(named(shared), named(tenant)).flatMap((stage) => {
          const [set = '', names = ''] = stage.split(': ')
          return names.split(' ').map((name) => `${set}/${name}`)
        })
      } catch (error) {
        expect(error).toMatchObject({ code: 'TNY411' })
        return
      }
      const expected = [...shared.map((_, i) => `shared/${i}`), ...tenant.map((_, i) => `tenant/${i}`)]
      expect(order.toSorted()).toEqual(expected.toSorted())
      for (const [set, other, waits] of [
        ['shared', 'tenant', shared],
        ['tenant', 'shared', tenant],
      ] as const) {
        for (const [index, wait] of waits.entries()) {
          if (index > 0)
            expect(order.indexOf(`${set}/${index}`)).toBeGreaterThan(order.indexOf(`${set}/${index - 1}`))
          if (wait !== null)
            expect(order.indexOf(`${set}/${index}`)).toBeGreaterThan(order.indexOf(`${other}/${wait}`))
        }
      }
    }),
  )
})
