/** Makes a tenant as a resumable operation: reserve, home, migrate, seed, activate. Served only after the last. */
import { findUnfinished, finishCreation } from '../catalog/operations.ts'
import { newTenantId } from '../catalog/tenant-id.ts'
import { findTenant } from '../catalog/tenant-store.ts'
import type { Seed } from '../core/config.ts'
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'
import type { HomeMaker, HomeMakers } from './homes/home-maker.ts'
import { inTransaction, withLock } from './pinned-session.ts'
import { type NewOperation, reserve, updateReserved } from './reserve.ts'
import { type OnStep, runSteps, type Step } from './run-steps.ts'
import type { TenantInput } from './tenant-input.ts'

/** What provisioning needs beside the input. */
export interface ProvisionParts {
  /** The login that may enter roles of guarded tenants. */
  readonly runtimeLogin: string
  readonly homes: HomeMakers
  /** `undefined` where the tenant starts empty. */
  readonly seed: Seed | undefined
  readonly onStep: OnStep | undefined
}

/**
 * Makes the tenant, or goes on with an attempt that ended early: same id, same schema, finished steps not repeated.
 * @throws TNY301, TNY305, TNY306, TNY307; TNY308 where an earlier attempt began it with another model or tier
 */
export async function provision(
  session: Queryable,
  input: TenantInput,
  parts: ProvisionParts,
): Promise<Tenant> {
  const id = input.id ?? newTenantId()
  // By key, so that two sign-ups of one key do not race; by id, so that nobody deletes it meanwhile.
  const locks = [
    { on: 'key', name: input.key },
    { on: 'tenant', name: id },
  ] as const
  return withLock(session, locks, input.key, async () => {
    const found = await findTenant(session, { key: input.key })
    if (found === undefined) {
      const { key, model = 'schema', tier = model === 'database' ? 'sealed' : 'guarded' } = input
      const { runtimeLogin, homes } = parts
      const reservation = { model, wish: { key, tier }, maker: homes[model], runtimeLogin }
      return finish(session, id, input.key, await reserve(session, id, input, reservation), parts)
    }
    const resumes = found.status === 'provisioning' && found.key === input.key
    if (!(resumes && (input.id ?? found.id) === found.id)) {
      throw new TenantryError('TNY301', { params: { key: input.key } })
    }
    requireSameHome(found, input)
    return withLock(session, { on: 'tenant', name: found.id }, input.key, async () => {
      await updateReserved(session, found.id, input)
      const operation = await findUnfinished(session, found.id)
      if (operation === undefined) throw new TenantryError('TNY302', { params: { tenant: input.key } })
      return finish(session, found.id, input.key, operation, parts)
    })
  })
}

/** Does what is left of the operation; the caller holds the tenant's lock. */
async function finish(
  session: Queryable,
  id: string,
  key: string,
  operation: NewOperation,
  parts: ProvisionParts,
): Promise<Tenant> {
  await runSteps(session, operation, key, stepsOf(session, id, operation, parts), parts.onStep)
  return requireTenant(session, id)
}

/**
 * Whoever asks for walls that the earlier attempt did not begin with must not be given weaker ones in silence.
 * @throws TNY308
 */
function requireSameHome({ home }: Tenant, { model = home.model, tier = home.tier }: TenantInput): void {
  if (model === home.model && tier === home.tier) return
  const reason =
    `an earlier attempt began the tenant with the model ${home.model} and the tier ${home.tier}, ` +
    'which are kept: ask for these, or delete the tenant first'
  throw new TenantryError('TNY308', { params: { reason } })
}

function stepsOf(session: Queryable, id: string, operation: NewOperation, parts: ProvisionParts): Step[] {
  const makerOf = ({ home }: Tenant): HomeMaker => parts.homes[home.model]
  return [
    // Done when the operation began: the same commit reserved the key and recorded it.
    { name: 'reserve', run: (mark) => mark() },
    {
      name: 'home',
      async run(mark) {
        const tenant = await requireTenant(session, id)
        await makerOf(tenant).make(session, tenant, mark)
      },
    },
    {
      name: 'migrate',
      async run(mark) {
        const tenant = await requireTenant(session, id)
        await makerOf(tenant).fill(session, tenant, mark)
      },
    },
    {
      name: 'seed',
      async run(mark) {
        const { seed } = parts
        if (seed === undefined) return
        const tenant = await requireTenant(session, id)
        await makerOf(tenant).seed(session, tenant, seed, mark)
      },
    },
    {
      name: 'activate',
      run: (mark) =>
        inTransaction(session, async () => {
          await mark()
          await finishCreation(session, operation)
        }),
    },
  ]
}

async function requireTenant(session: Queryable, id: string): Promise<Tenant> {
  const tenant = await findTenant(session, { id })
  if (tenant === undefined) throw new TenantryError('TNY302', { params: { tenant: id } })
  return tenant
}
