/** Flags that say waves and their gates, in place of those of the configuration. */
import type { Command } from 'commander'
import type { TenantModel } from '../../../core/tenant.ts'
import type { Gate, Wave } from '../../../core/waves.ts'
import { readDuration } from '../../duration.ts'
import { misuse } from '../../failure.ts'
import { readCount, readList } from './run-flags.ts'

/** As commander gives them. */
export interface WaveFlags {
  readonly canary?: string
  readonly wave?: readonly string[]
  /** False: --no-waves. */
  readonly waves: boolean
  readonly pause?: string
  readonly gate?: string
  readonly gateSql?: string
  readonly gateHttp?: string
  readonly gateTimeout?: string
  readonly gateRetries?: string
}

const append = (text: string, list: readonly string[] = []): readonly string[] => [...list, text]

export function addWaveFlags(command: Command): Command {
  return command
    .option('--canary <tenants>', 'the first wave: keys or ids, with commas')
    .option(
      '--wave <who>',
      'the next wave: 10%, plan:free, model:shared, server:main, settings:beta=true',
      append,
    )
    .option('--no-waves', 'all tenants at once, whatever the configuration says')
    .option('--pause <time>', 'wait so long behind each wave of these flags')
    .option('--gate <command>', 'go on only where this exits with 0')
    .option('--gate-sql <query>', 'go on only where this gives true')
    .option('--gate-http <url>', 'go on only where this answers with 2xx')
    .option('--gate-timeout <time>', 'how long a gate may take (default: 1m)')
    .option('--gate-retries <count>', 'how often a gate is asked again, every 10 s (default: 0)')
}

/** `undefined`: the configuration decides. @throws TNY030 */
export function readWaveFlags(flags: WaveFlags): readonly Wave[] | undefined {
  const { canary, wave = [], waves, pause } = flags
  const said = [
    ...(canary === undefined ? [] : [{ name: 'canary', tenants: readList('--canary', canary) }]),
    ...wave.map(readWave),
  ]
  const gate = readGates(flags)
  if (said.length === 0) {
    if (gate.length > 0 || pause !== undefined) {
      throw misuse('a gate or a pause is of no use without --canary or --wave')
    }
    return waves ? undefined : []
  }
  if (!waves) throw misuse('--no-waves goes with neither --canary nor --wave')
  const pauseMs = pause === undefined ? 0 : readDuration('--pause', pause)
  return said.map((one) => ({ ...one, pauseMs, gate }))
}

function readWave(text: string): Wave {
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(text)?.[1]
  if (percent !== undefined) return { percent: Number(percent) }
  const [, kind, value = ''] = /^(plan|model|server|settings):(.+)$/.exec(text) ?? []
  switch (kind) {
    case 'plan':
      return { plan: readList('--wave plan', value) }
    case 'model':
      return { model: value as TenantModel }
    case 'server':
      return { server: value }
    case 'settings':
      return { settings: readSetting(text, value) }
    default:
      throw misuse(
        `--wave is "${text}"`,
        'Write 10%, plan:free, model:shared, server:main or settings:beta=true; keys go with --canary.',
      )
  }
}

function readSetting(text: string, pair: string): NonNullable<Wave['settings']> {
  const at = pair.indexOf('=')
  if (at < 1) throw misuse(`--wave is "${text}"`, 'Write settings:name=value.')
  const [name, value] = [pair.slice(0, at), pair.slice(at + 1)]
  if (/^(true|false|null|-?\d+(\.\d+)?)$/.test(value))
    return { [name]: JSON.parse(value) as number | boolean }
  return { [name]: value }
}

function readGates(flags: WaveFlags): readonly Gate[] {
  const { gate, gateSql, gateHttp, gateTimeout, gateRetries } = flags
  const limits = {
    ...(gateTimeout === undefined ? {} : { timeoutMs: readDuration('--gate-timeout', gateTimeout) }),
    ...(gateRetries === undefined ? {} : { retries: readCount('--gate-retries', gateRetries) }),
  }
  const gates: Gate[] = [
    ...(gate === undefined ? [] : [{ command: gate, ...limits }]),
    ...(gateSql === undefined ? [] : [{ sql: gateSql, ...limits }]),
    ...(gateHttp === undefined ? [] : [{ http: gateHttp, ...limits }]),
  ]
  if (gates.length === 0 && Object.keys(limits).length > 0) throw misuse('there is no gate for its limits')
  return gates
}
