/** The order between the shared and the tenant migrations: what one says of the other in `-- tenantry: after …`. */
import { basename } from 'node:path'
import { TenantryError } from '../../core/errors.ts'
import type { Migration, SetReference } from './migration.ts'

/** A part of one set that runs at a stretch. */
export interface SetStage {
  readonly set: 'shared' | 'tenant'
  /** Never empty; together with those of earlier stages the beginning of the set. */
  readonly migrations: readonly Migration[]
  /** The name of the last of them: how far the set is to run in this stage. */
  readonly to: string
}

/**
 * The stages of a run, in order. Without a word of the files two: all that is shared, then all of the tenants'. A shared
 * migration `after tenant/N` splits them: what is shared before it, the tenants up to N, the shared rest, the
 * tenants' rest.
 *
 * Whoever runs them: a stage of the set `shared` begins only when every tenant that is migrated, of every model, has all of
 * the tenant stages before it; where one failed or is set aside, the run ends there and says so, as for a shared migration
 * that failed. Within a tenant stage a tenant that fails does not stop the others. Going down, the stages are
 * undone from the last to the first under the same rule. A new tenant gets all tenant migrations at once.
 * @throws TNY411 for a name that is not there, one of the same set, and where two wait for each other.
 */
export function planSets(shared: readonly Migration[], tenant: readonly Migration[]): readonly SetStage[] {
  const waits = { shared: positions('shared', shared, tenant), tenant: positions('tenant', tenant, shared) }
  const stages: SetStage[] = []
  let [ranShared, ranTenant] = [0, 0]
  const add = (set: SetStage['set'], migrations: readonly Migration[]): void => {
    const last = migrations.at(-1)
    if (last !== undefined) stages.push({ set, migrations, to: last.name })
  }
  for (;;) {
    const from = ranShared
    while (ranShared < shared.length && (waits.shared[ranShared]?.at ?? -1) < ranTenant) ranShared++
    add('shared', shared.slice(from, ranShared))
    const waiting = waits.shared[ranShared]
    const needed = waiting === undefined ? tenant.length : waiting.at + 1
    for (let index = ranTenant; index < needed; index++) {
      const wait = waits.tenant[index]
      if (wait !== undefined && wait.at >= ranShared)
        throw circle(tenant[index], wait.line, shared[ranShared])
    }
    add('tenant', tenant.slice(ranTenant, needed))
    ranTenant = needed
    if (ranShared === shared.length) return stages
  }
}

interface Wait {
  /** The position in the other set, from 0, of the last that it waits for. */
  readonly at: number
  readonly line: number
}

function positions(
  set: SetStage['set'],
  migrations: readonly Migration[],
  others: readonly Migration[],
): readonly (Wait | undefined)[] {
  return migrations.map(({ file, after }) => {
    const waits = after.map((reference) => ({
      at: positionOf(file, set, reference, others),
      line: reference.line,
    }))
    return waits.toSorted((a, b) => b.at - a.at)[0]
  })
}

function positionOf(
  file: string,
  set: SetStage['set'],
  { set: other, name, line }: SetReference,
  others: readonly Migration[],
): number {
  if (other === set) {
    throw refused(
      file,
      line,
      `it waits for ${other}/${name} of its own set, whose order is that of the names`,
    )
  }
  const at = others.findIndex((migration) => migration.name === name || basename(migration.file) === name)
  if (at < 0) throw refused(file, line, `there is no migration ${other}/${name}`)
  return at
}

function circle(waiting: Migration | undefined, line: number, blocked: Migration | undefined): TenantryError {
  const reason = `${blocked?.file ?? ''} in turn waits for it, or for one behind it`
  return refused(waiting?.file ?? '', line, reason)
}

function refused(file: string, line: number, reason: string): TenantryError {
  return new TenantryError('TNY411', { params: { file, line, reason } })
}
