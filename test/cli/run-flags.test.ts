import { Command } from 'commander'
import { expect, test } from 'vitest'
import { addRunFlags, readRunFlags, type RunFlags } from '../../src/cli/commands/migrate/run-flags.ts'
import { addWaveFlags, readWaveFlags, type WaveFlags } from '../../src/cli/commands/migrate/wave-flags.ts'
import { showDuration } from '../../src/cli/duration.ts'

function parse(...args: string[]): RunFlags & WaveFlags {
  const command = addWaveFlags(addRunFlags(new Command('up'))).exitOverride()
  return command.parse(args, { from: 'user' }).opts()
}

test('flags become options of a run', () => {
  expect(readRunFlags(parse())).toEqual({ wait: true })
  expect(
    readRunFlags(
      parse(
        '--only',
        'a, b',
        '--workers',
        '8',
        '--lock-timeout',
        '2s',
        '--statement-timeout',
        '1m',
        '--no-wait',
      ),
    ),
  ).toEqual({ wait: false, only: ['a', 'b'], workers: 8, lockTimeoutMs: 2000, statementTimeoutMs: 60_000 })
  expect(readRunFlags(parse('--dry-run'))).toMatchObject({ dryRun: true })
})

test('waves in the order in which they are said, the canary first, each with the gates and the pause', () => {
  expect(readWaveFlags(parse())).toBeUndefined()
  expect(readWaveFlags(parse('--no-waves'))).toEqual([])
  const said = parse(
    ...[
      '--wave',
      '10%',
      '--canary',
      'acme,globex',
      '--wave',
      'plan:free,trial',
      '--wave',
      'settings:beta=true',
    ],
    ...['--wave', 'model:shared', '--wave', 'server:main', '--pause', '5m', '--gate', 'npm test'],
    ...[
      '--gate-http',
      'http://x/healthz',
      '--gate-sql',
      'select true',
      '--gate-timeout',
      '9s',
      '--gate-retries',
      '2',
    ],
  )
  const limits = { timeoutMs: 9000, retries: 2 }
  const gate = [
    { command: 'npm test', ...limits },
    { sql: 'select true', ...limits },
    { http: 'http://x/healthz', ...limits },
  ]
  const who = [
    { name: 'canary', tenants: ['acme', 'globex'] },
    { percent: 10 },
    { plan: ['free', 'trial'] },
    { settings: { beta: true } },
    { model: 'shared' },
    { server: 'main' },
  ]
  expect(readWaveFlags(said)).toEqual(who.map((wave) => ({ ...wave, pauseMs: 300_000, gate })))
})

test.each([
  [['--gate', 'true'], /of no use without --canary or --wave/],
  [['--no-waves', '--canary', 'acme'], /goes with neither/],
  [['--canary', 'a', '--gate-timeout', '1s'], /no gate for its limits/],
  [['--wave', 'settings:beta'], /settings:name=value/],
  [['--lock-timeout', '5'], /--lock-timeout is "5", not a time/],
  [['--lock-timeout', '999999h'], /not a time/],
  [['--workers', '0'], /--workers is "0"/],
  [['--only', 'acme,,b'], /--only is "acme,,b"/],
])('misuse: %j', (args, message) => {
  const flags = parse(...args)
  expect(() => [readRunFlags(flags), readWaveFlags(flags)]).toThrow(
    expect.objectContaining({ code: 'TNY030', hint: expect.any(String) as string }),
  )
  try {
    readRunFlags(flags)
    readWaveFlags(flags)
  } catch (error) {
    expect(`${String(error)} ${(error as { hint: string }).hint}`).toMatch(message)
  }
})

test('times for people', () => {
  expect([40, 1000, 59_400, 61_000, 3_600_000, 5_000_000].map(showDuration)).toEqual([
    '40 ms',
    '1 s',
    '59 s',
    '1 min 1 s',
    '1 h 0 min',
    '1 h 23 min',
  ])
})
