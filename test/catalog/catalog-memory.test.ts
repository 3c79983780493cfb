import fc from 'fast-check'
import { LRUCache } from 'lru-cache'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { CatalogMemory } from '../../src/catalog/catalog-memory.ts'
import { LookupLine } from '../../src/catalog/lookup-line.ts'
import { memoryHeld } from '../support/memory.ts'

interface Sample {
  readonly id: string
  readonly version: number
}

const wide = (): LookupLine => new LookupLine({ atOnce: 1_000, waiting: 1_000_000 })

function memoryOf(
  options: { max?: number; line?: LookupLine; isCurrent?: () => boolean } = {},
): CatalogMemory<Sample> {
  return new CatalogMemory<Sample>({
    isCurrent: () => true,
    max: 100,
    line: wide(),
    namesOf: ({ id }) => [`id:${id}`],
    ...options,
  })
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe('asking', () => {
  test('asks once for a hundred simultaneous look-ups, and then not at all; by the id neither', async () => {
    const memory = memoryOf()
    let asked = 0
    const load = async (): Promise<Sample> => ({ id: '1', version: (asked += 1) })
    const found = await Promise.all(
      Array.from({ length: 100 }, () => Promise.resolve(memory.locate('key:a', load))),
    )
    expect(new Set(found).size).toBe(1)
    expect(memory.locate('key:a', load)).toBe(found[0])
    expect(memory.locate('id:1', load)).toBe(found[0])
    expect(asked).toBe(1)
  })

  test('two names of one record lead to one object, and neither outdates the other', async () => {
    const memory = memoryOf()
    let asked = 0
    const load = async (): Promise<Sample> => ({ id: '1', version: (asked += 1) })
    const one = await memory.locate('key:a', load)
    const two = await memory.locate('domain:a.example', load)
    expect(two).toBe(one)
    expect([memory.locate('key:a', load), memory.locate('domain:a.example', load)]).toEqual([one, one])
    expect(asked).toBe(2)
  })

  test('a look-up that failed is not remembered, and nobody waits for it', async () => {
    const memory = memoryOf()
    await expect(memory.locate('key:a', () => Promise.reject(new Error('away')))).rejects.toThrow('away')
    expect(await memory.locate('key:a', async () => ({ id: '1', version: 1 }))).toEqual({
      id: '1',
      version: 1,
    })
  })

  test('refresh asks, whatever is remembered, and outdates every name', async () => {
    const memory = memoryOf()
    let version = 1
    const load = async (): Promise<Sample> => ({ id: '1', version })
    await memory.locate('key:a', load)
    version = 2
    expect(await memory.refresh('id:1', load)).toEqual({ id: '1', version: 2 })
    expect(await memory.locate('key:a', load)).toEqual({ id: '1', version: 2 })
  })
})

test('I8: of any order of changes, look-ups and notifications, what was heard counts', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('find' as const), name: fc.nat(3) }),
    fc.record({ do: fc.constant('give' as const), name: fc.nat(3), to: fc.nat(2) }),
    fc.record({ do: fc.constant('change' as const), to: fc.nat(2) }),
    fc.record({ do: fc.constant('hear' as const) }),
    fc.record({ do: fc.constant('answer' as const), which: fc.nat(5) }),
    fc.record({ do: fc.constant('deaf' as const) }),
    fc.record({ do: fc.constant('refresh' as const), name: fc.nat(3) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      let hears = true
      const memory = memoryOf({ max: 2, isCurrent: () => hears })
      const versions = [1, 1, 1]
      const owners = new Map<number, number>()
      const unheard: (() => void)[] = []
      let answers: (() => void)[] = []
      const read = (name: number): Sample | undefined => {
        const owner = owners.get(name)
        return owner === undefined ? undefined : { id: String(owner), version: versions[owner] ?? 0 }
      }
      // Reads at once, and answers when the step comes: the network is slow.
      const load = (name: number) => (): Promise<Sample | undefined> => {
        const { promise, resolve } = Promise.withResolvers<Sample | undefined>()
        const value = read(name)
        answers.push(() => resolve(value))
        return promise
      }
      const asked: Promise<unknown>[] = []
      for (const each of steps) {
        if (each.do === 'find')
          asked.push(Promise.resolve(memory.locate(`key:${each.name}`, load(each.name))))
        if (each.do === 'refresh') asked.push(memory.refresh(`key:${each.name}`, load(each.name)))
        if (each.do === 'give') {
          const [from, to] = [owners.get(each.name), each.to]
          owners.set(each.name, to)
          for (const id of [from, to].filter((owner) => owner !== undefined)) {
            if (hears) unheard.push(() => memory.forget(String(id), [`key:${each.name}`]))
          }
        }
        if (each.do === 'change') {
          versions[each.to] = (versions[each.to] ?? 0) + 1
          if (hears) unheard.push(() => memory.forget(String(each.to), []))
        }
        if (each.do === 'hear') unheard.shift()?.()
        if (each.do === 'answer') answers.splice(each.which % Math.max(1, answers.length), 1)[0]?.()
        if (each.do === 'deaf') {
          hears = !hears
          if (hears) memory.clear()
          else unheard.length = 0
        }
        // Look-ups take their first steps.
        for (let turn = 0; turn < 5; turn += 1) await Promise.resolve()
      }
      for (const tell of unheard.splice(0)) tell()
      if (!hears) memory.clear()
      hears = true
      // What is still under way was read before: nobody who asks now may be given it.
      const now = [0, 1, 2, 3].map((name) => Promise.resolve(memory.locate(`key:${name}`, load(name))))
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve()
      vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 10_000)
      for (; answers.length > 0; await Promise.resolve()) {
        const due = answers
        answers = []
        for (const answer of due) answer()
      }
      await Promise.all(asked)
      const early = await Promise.all(now)
      const late = [0, 1, 2, 3].map((name) =>
        Promise.resolve(memory.locate(`key:${name}`, async () => read(name))),
      )
      vi.restoreAllMocks()
      const expected = [0, 1, 2, 3].map(read)
      expect(await Promise.all(late)).toEqual(expected)
      // That a name was nobody's may count for a second after a loss.
      early.forEach((found, name) => {
        if (found !== undefined) expect(found).toEqual(expected[name])
      })
    }),
    { numRuns: 1_000 },
  )
})

describe('a flood of names that nobody has', () => {
  /** As a process under attack: every tenant is asked for again and again, between names that nobody has. */
  async function flood(
    names: number,
    tenants: number,
    find: (name: string, load: () => Promise<Sample | undefined>) => unknown,
  ): Promise<number> {
    let again = 0
    for (let n = 0; n < names; n += 1) {
      const stranger = find(`key:stranger-${n}`, async () => undefined)
      if (n % 200 === 0) await stranger
      if (n % 10 !== 0) continue
      const id = String((n / 10) % tenants)
      await find(`key:${id}`, async () => ({ id, version: (again += 1) }))
    }
    return again - tenants
  }

  test('I3: a million of them drive no tenant out, and memory stays bounded', async () => {
    const memory = memoryOf({ max: 1_000 })
    await flood(20_000, 100, (name, load) => memory.locate(name, load))
    const before = memoryHeld()
    expect(await flood(1_000_000, 100, (name, load) => memory.locate(name, load))).toBe(-100)
    expect(memoryHeld() - before).toBeLessThan(2_000_000)
  }, 60_000)

  test('the unsafe control: where strangers and tenants share a memory, they do', async () => {
    const shared = new LRUCache<string, { found: Sample | undefined }>({ max: 50 })
    const again = await flood(20_000, 100, async (name, load) => {
      const known = shared.get(name) ?? { found: await load() }
      shared.set(name, known)
      return known.found
    })
    expect(again).toBeGreaterThan(1_000)
  })

  test('a change of another tenant does not make it ask again; a sign-up of the name does, at once', async () => {
    const memory = memoryOf()
    let asked = 0
    const tenants: Sample[] = []
    const load = async (): Promise<Sample | undefined> => {
      asked += 1
      return tenants[0]
    }
    await memory.locate('key:new', load)
    for (let n = 0; n < 100; n += 1) {
      memory.forget(`somebody-${n}`, [`key:somebody-${n}`])
      expect(memory.locate('key:new', load)).toBeUndefined()
    }
    expect(asked).toBe(1)
    tenants.push({ id: '1', version: 1 })
    memory.forget('1', ['key:new'])
    expect(await memory.locate('key:new', load)).toBe(tenants[0])
  })

  test('an answer is remembered although others changed meanwhile; not if the name was taken meanwhile', async () => {
    const memory = memoryOf()
    let asked = 0
    const during = async (change: () => void): Promise<unknown> =>
      memory.locate('key:new', async () => {
        asked += 1
        change()
      })
    await during(() => memory.forget('2', ['key:new']))
    await during(() => memory.forget('1', ['key:other']))
    await during(() => undefined)
    expect(asked).toBe(2)
  })

  test('while memory cannot be trusted, the catalog is asked once a second for a name', async () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(50_000)
    const memory = memoryOf({ isCurrent: () => false })
    let asked = 0
    const ask = async (): Promise<void> => {
      for (let n = 0; n < 1_000; n += 1) {
        await memory.locate('key:stranger', async () => {
          asked += 1
          return undefined
        })
      }
    }
    await ask()
    expect(asked).toBe(1)
    now.mockReturnValue(51_000)
    await ask()
    expect(asked).toBe(2)
    // Nor when the listener is back, in the second that is left.
    memory.clear()
    await ask()
    expect(asked).toBe(2)
    now.mockReturnValue(52_000)
    await ask()
    expect(asked).toBe(3)
  })

  test('while memory cannot be trusted, a tenant is read each time', async () => {
    const memory = memoryOf({ isCurrent: () => false })
    let version = 0
    for (let n = 1; n <= 3; n += 1) {
      const found = await memory.locate('key:a', async () => ({ id: '1', version: (version += 1) }))
      expect(found?.version).toBe(n)
    }
  })

  test('so many are looked up at once, so many wait, the next is refused; known names do not wait', async () => {
    const memory = memoryOf({ line: new LookupLine({ atOnce: 2, waiting: 3 }) })
    const known = async (): Promise<Sample> => ({ id: '1', version: 1 })
    await memory.locate('key:a', known)
    const answers: (() => void)[] = []
    let atOnce = 0
    let most = 0
    const strangers = Array.from({ length: 6 }, (_, n) =>
      Promise.resolve(
        memory.locate(`key:${n}`, async () => {
          most = Math.max(most, (atOnce += 1))
          await new Promise<void>((resolve) => answers.push(resolve))
          atOnce -= 1
          return undefined
        }),
      ),
    )
    await expect(strangers[5]).rejects.toMatchObject({ code: 'TNY112', status: 503, retryAfter: 1 })
    memory.forget('1', [])
    expect(await memory.locate('key:a', known)).toEqual({ id: '1', version: 1 })
    let done = false
    void Promise.all(strangers.slice(0, 5)).then(() => (done = true))
    for (; !done; await Promise.resolve()) for (const answer of answers.splice(0)) answer()
    expect(most).toBe(2)
    expect(await memory.locate('key:5', async () => undefined)).toBeUndefined()
  })
})
