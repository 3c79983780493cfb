import { expect, test } from 'vitest'
import { toReport, type Gathered } from '../../src/prove/report.ts'
import { toHtml } from '../../src/prove/report-html.ts'

const HOSTILE = `<img src=x onerror=alert(1)>"'&</pre><script>alert(2)</script>\u202e\u0007`

const gathered: Gathered = {
  server: HOSTILE,
  cases: [
    {
      case: 'S1',
      title: HOSTILE,
      model: 'schema',
      tier: 'guarded',
      outcome: 'failed',
      attacks: 1,
      refusedByGuard: 0,
      refusedByDatabase: 0,
      withoutEffect: 0,
      breaches: [{ attack: HOSTILE, way: HOSTILE, statement: HOSTILE, harm: 'leak', seen: [HOSTILE] }],
    },
  ],
  tiers: [
    {
      model: 'schema',
      tier: 'guarded',
      achieved: 'none',
      enforcement: 'guard',
      onlyGuard: [HOSTILE],
      open: [HOSTILE],
      tenants: 3,
      untouched: false,
    },
  ],
  lint: [
    {
      rule: 'any',
      threat: undefined,
      object: HOSTILE,
      schemas: undefined,
      databases: undefined,
      severity: 'error',
      reason: HOSTILE,
      wayOut: HOSTILE,
    },
  ],
  skipped: [{ model: 'database', tier: 'sealed', reason: HOSTILE }],
  warnings: [HOSTILE],
  left: [HOSTILE],
}

test('C2: names and values of tenants are text on the page, wherever they stand', () => {
  const page = toHtml(toReport(gathered, new Date()))
  expect(page).not.toContain('<img')
  expect(page).not.toContain('<script')
  // Every field is on the page, as text: eight places of one, and more of others.
  expect(page.split('&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;&lt;/pre&gt;').length).toBeGreaterThan(
    14,
  )
  expect(page).not.toMatch(/[\u202e\u0007]/)
  // The control: put in as it is, the same text would be markup.
  expect(`<p>${HOSTILE}</p>`).toContain('<script')
})

test('C2: the page needs nothing from elsewhere and forbids it', () => {
  const page = toHtml(toReport(gathered, new Date()))
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1]
  expect(policy).toBe(
    'default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;',
  )
  expect(page).not.toMatch(/\b(src|href)\s*=\s*"|@import|url\(/)
})

test('a proof without cases, with a lint error, or with something left is none', () => {
  const sound = {
    ...gathered,
    cases: gathered.cases.map((each) => ({ ...each, outcome: 'passed' as const, breaches: [] })),
    tiers: gathered.tiers.map((tier) => ({ ...tier, untouched: true })),
    lint: [],
    left: [],
  }
  const ok = (changes: Partial<Gathered>): boolean => toReport({ ...sound, ...changes }, new Date()).ok
  expect(ok({})).toBe(true)
  expect(ok({ cases: [] })).toBe(false)
  expect(ok({ cases: gathered.cases })).toBe(false)
  expect(ok({ tiers: gathered.tiers })).toBe(false)
  expect(ok({ lint: gathered.lint })).toBe(false)
  expect(ok({ lint: gathered.lint.map((each) => ({ ...each, severity: 'warning' as const })) })).toBe(true)
  expect(ok({ left: ['x'] })).toBe(false)
})
