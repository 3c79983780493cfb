/** The principals of one process: what a flight binds for each tenant, made once for each of its records. */
import type { TenantRef } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'
import { type Binding, bindingOf, ofSharedTables, type TenantLimits } from '../gateway/binding.ts'
import type { Principal } from '../gateway/gateway.ts'
import type { Keyring } from './master-key.ts'
import { type Bind, tenantPrincipal } from './principal.ts'

/** What principals are made of. */
export interface PrincipalsOptions {
  /** Where a tenant is found again: at once where memory knows it, or freshly from the catalog. */
  readonly directory: {
    locate(ref: TenantRef): Tenant | undefined | Promise<Tenant | undefined>
    refresh(ref: TenantRef): Promise<Tenant | undefined>
  }
  /** For the logins of sealed tenants. */
  readonly keyring: Keyring
  /** What shows the database that the tenant's context is the gateway's. */
  proofOf(tenant: Tenant): string
  limitsOf(tenant: Tenant): Required<TenantLimits>
}

/** Tenants as principals of the gateway, named by id, key or record. */
export class Principals {
  readonly #options: PrincipalsOptions
  // By record: the catalog's memory gives the same one until the tenant changes.
  readonly #bindings = new WeakMap<Tenant, Binding>()
  readonly #sharedBindings = new WeakMap<Binding, Binding>()

  constructor(options: PrincipalsOptions) {
    this.#options = options
  }

  /** Before its own tables. */
  of(tenant: string | Tenant): Principal {
    return this.#principal(tenant, this.#bind)
  }

  /** Before the tables that all tenants share, in the database of the catalog. */
  beforeSharedTables(tenant: string | Tenant): Principal {
    return this.#principal(tenant, this.#bindShared)
  }

  #principal(tenant: string | Tenant, bind: Bind): Principal {
    const { directory } = this.#options
    const ref = refOf(tenant)
    const id = typeof tenant === 'string' ? undefined : tenant.id
    return tenantPrincipal(
      labelOf(tenant),
      (fresh) => (fresh ? directory.refresh(ref) : directory.locate(ref)),
      bind,
      id,
    )
  }

  readonly #bind = (tenant: Tenant): Binding => {
    const known = this.#bindings.get(tenant)
    if (known !== undefined) return known
    const { keyring, proofOf, limitsOf } = this.#options
    const { id, home } = tenant
    const password = home.keyId === undefined ? undefined : keyring.secretOf(id, home.keyId)
    const login = password === undefined ? undefined : { user: home.role, password }
    const binding = bindingOf(tenant, limitsOf(tenant), { proof: proofOf(tenant), login })
    this.#bindings.set(tenant, binding)
    return binding
  }

  readonly #bindShared = (tenant: Tenant): Binding => {
    const own = this.#bind(tenant)
    const known = this.#sharedBindings.get(own) ?? ofSharedTables(own)
    this.#sharedBindings.set(own, known)
    return known
  }
}

/** How the directory finds it. */
export function refOf(tenant: string | Tenant): TenantRef {
  return typeof tenant === 'string' ? { name: tenant } : { id: tenant.id }
}

/** How errors call it. */
export function labelOf(tenant: string | Tenant): string {
  return typeof tenant === 'string' ? tenant : tenant.key
}
