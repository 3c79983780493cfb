/** Sorts tenants into waves. */
import { createHash } from 'node:crypto'
import type { Plan, Settings, TenantModel } from '../../core/tenant.ts'
import { TenantryError } from '../../core/errors.ts'
import { type Gate, type Wave, wavesProblem } from '../../core/waves.ts'

/** A wave with everything that has a default; the last one is for whoever fits no other. */
export interface PlannedWave {
  readonly name: string
  /** `undefined`: as many as there are. */
  readonly maxFailures: number | undefined
  readonly pauseMs: number
  readonly gates: readonly Gate[]
}

/** What a tenant is sorted by. */
export interface Candidate {
  readonly id: string
  readonly key: string
  readonly model: TenantModel
  readonly plan?: Plan | undefined
  readonly settings?: Settings | undefined
  readonly server?: string | undefined
  /** All tenants that share tables: they have no plan in common, and cannot be divided. */
  readonly together?: boolean
}

export interface WavePlan {
  readonly waves: readonly PlannedWave[]
  /** Keys and ids that waves name. */
  readonly named: readonly string[]
  /** The place of a tenant's wave in `waves`. */
  waveOf(tenant: Candidate): number
}

const REST: PlannedWave = { name: 'all others', maxFailures: undefined, pauseMs: 0, gates: [] }

/** @throws TNY420 for waves that are not valid. */
export function planWaves(waves: readonly Wave[] = []): WavePlan {
  const problem = wavesProblem(waves)
  if (problem !== undefined) {
    const advice = 'docs/guides/migrations.md says what a wave may be.'
    throw new TenantryError('TNY420', {
      params: { reason: `waves${problem.replace(/^(?!\[)/, ' ')}`, advice },
    })
  }
  const planned = waves.map((wave) => ({
    name: wave.name ?? nameOf(wave),
    maxFailures: wave.maxFailures ?? 0,
    pauseMs: wave.pauseMs ?? 0,
    gates:
      wave.gate === undefined ? [] : Array.isArray(wave.gate) ? (wave.gate as Gate[]) : [wave.gate as Gate],
  }))
  return {
    waves: [...planned, waves.length === 0 ? { ...REST, name: 'all' } : REST],
    named: waves.flatMap(({ tenants = [] }) => tenants),
    waveOf(tenant) {
      const place = waves.findIndex((wave) => fits(wave, tenant))
      return place < 0 ? waves.length : place
    },
  }
}

function fits(wave: Wave, tenant: Candidate): boolean {
  const { tenants, plan, settings, model, server, percent } = wave
  if (tenant.together === true && (plan ?? settings ?? percent) !== undefined) return false
  if (tenants !== undefined && !tenants.some((name) => name === tenant.key || name === tenant.id))
    return false
  if (plan !== undefined && !listOf(plan).includes(tenant.plan ?? '')) return false
  if (model !== undefined && model !== tenant.model) return false
  if (server !== undefined && server !== (tenant.server ?? 'main')) return false
  if (settings !== undefined && !holds(tenant.settings, settings)) return false
  return percent === undefined || shareOf(tenant.id) < percent
}

/** From 0 up to 100, the same for a tenant at every run. */
function shareOf(id: string): number {
  return (createHash('sha256').update(id).digest().readUInt32BE() / 2 ** 32) * 100
}

function holds(settings: object | undefined, wanted: NonNullable<Wave['settings']>): boolean {
  const found = new Map<string, unknown>(Object.entries(settings ?? {}))
  return Object.entries(wanted).every(([name, value]) => found.get(name) === value)
}

function nameOf({ tenants, plan, settings, model, server, percent }: Wave): string {
  const parts = [
    tenants === undefined ? '' : tenants.length > 3 ? `${tenants.length} named tenants` : tenants.join(', '),
    plan === undefined ? '' : `plan ${listOf(plan).join(', ')}`,
    settings === undefined
      ? ''
      : Object.entries(settings)
          .map(([name, value]) => `${name} = ${value}`)
          .join(', '),
    model === undefined ? '' : `model ${model}`,
    server === undefined ? '' : `server ${server}`,
    percent === undefined ? '' : `${percent} %`,
  ]
  return parts.filter((part) => part !== '').join('; ')
}

function listOf(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value
}
