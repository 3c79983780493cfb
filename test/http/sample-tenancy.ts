/** A tenancy whose catalog is in memory: real context, real statuses, no database to start. */
import { MoveWaits } from '../../src/catalog/move-waits.ts'
import { createContext } from '../../src/core/context.ts'
import type { TenantRef, TenantRuntime } from '../../src/core/runtime.ts'
import type { Tenant, TenantStatus } from '../../src/core/tenant.ts'

/** A tenant with made-up values where they do not matter. */
export function sampleTenant(
  key: string,
  status: TenantStatus = 'active',
  aliases: readonly string[] = [],
): Tenant {
  const schema = `tenant_${key.replaceAll('-', '_')}`
  return {
    id: `id-of-${key}`,
    key,
    aliases,
    name: `The ${key} company`,
    status,
    plan: 'free',
    home: {
      model: 'schema',
      tier: 'guarded',
      schema,
      role: `role_${key}`,
      ownerRole: `owner_${key}`,
      epoch: 1,
    },
    version: 0,
    settings: {},
    createdAt: new Date(0),
  }
}

/** A runtime that can be closed, and that counts what it was asked. */
export interface SampleTenancy extends TenantRuntime {
  closing: boolean
  readonly asked: TenantRef[]
  /** Thrown by the next look-ups, where set. */
  failure: Error | undefined
  /** Gives a tenant another status, and tells whoever waits for that. */
  change(key: string, status: TenantStatus): void
  /** As `tenancy.close()` does it: who waits for a move is sent away. */
  close(): void
}

/** A tenancy of these tenants. */
export function sampleTenancy(
  tenants: readonly Tenant[],
  bounds = { timeoutMs: 10_000, maxPerTenant: 1_000 },
): SampleTenancy {
  const byId = new Map(tenants.map((tenant) => [tenant.id, tenant]))
  const moves = new MoveWaits(bounds)
  const asked: TenantRef[] = []

  async function find(ref: TenantRef): Promise<Tenant | undefined> {
    asked.push(ref)
    if (tenancy.failure !== undefined) throw tenancy.failure
    const name = 'key' in ref ? ref.key : 'name' in ref ? ref.name : undefined
    return Promise.resolve(
      [...byId.values()].find(({ id, key, aliases }) =>
        'id' in ref ? id === ref.id : [key, ...aliases].some((known) => known === name),
      ),
    )
  }

  const tenancy: SampleTenancy = {
    closing: false,
    asked,
    failure: undefined,
    context: createContext(),
    directory: {
      find,
      locate: find,
      async settled(ref, signal) {
        const tenant = await find(ref)
        if (tenant?.status !== 'moving') return tenant
        return moves.settled(tenant, () => find({ id: tenant.id }), signal)
      },
    },
    change(key, status) {
      for (const tenant of byId.values()) {
        if (tenant.key === key) byId.set(tenant.id, { ...tenant, status })
      }
      moves.wake()
    },
    close() {
      tenancy.closing = true
      moves.close()
    },
  }
  return tenancy
}
