/** A tenancy whose catalog is in memory: real context, real statuses, no database to start. */
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
}

/** A tenancy of these tenants. */
export function sampleTenancy(tenants: readonly Tenant[]): SampleTenancy {
  const asked: TenantRef[] = []
  const tenancy: SampleTenancy = {
    closing: false,
    asked,
    failure: undefined,
    context: createContext(),
    directory: {
      async find(ref) {
        asked.push(ref)
        if (tenancy.failure !== undefined) throw tenancy.failure
        const name = 'key' in ref ? ref.key : 'name' in ref ? ref.name : undefined
        return Promise.resolve(
          tenants.find(({ id, key, aliases }) =>
            'id' in ref ? id === ref.id : [key, ...aliases].some((known) => known === name),
          ),
        )
      },
    },
  }
  return tenancy
}
