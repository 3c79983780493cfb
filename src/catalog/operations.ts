/** The record of long pieces of control work: what is finished of each, so that it can be resumed. */
import { randomUUID } from 'node:crypto'
import type { Queryable } from '../core/database.ts'

export type OperationKind = 'create' | 'delete'

/** One piece of control work on one tenant. */
export interface Operation {
  readonly id: string
  readonly kind: OperationKind
  readonly tenantId: string
  /** The tenant's key, `undefined` once it is erased. */
  readonly tenantKey: string | undefined
  /** `running` also after a crash: whether somebody works on it, only the tenant's lock tells. */
  readonly state: 'running' | 'failed' | 'done'
  /** Finished steps. */
  readonly steps: readonly string[]
  /** Why the last attempt ended. */
  readonly error: string | undefined
  readonly startedAt: Date
  readonly updatedAt: Date
}

const OPERATION_JSON = `json_strip_nulls(json_build_object(
  'id', o.id, 'kind', o.kind, 'tenantId', o.tenant_id, 'state', o.state, 'steps', o.steps, 'error', o.error,
  'tenantKey', (select k.key from tenantry.keys k where k.tenant_id = o.tenant_id and not k.is_alias),
  'startedAt', (extract(epoch from o.started_at) * 1000)::bigint,
  'updatedAt', (extract(epoch from o.updated_at) * 1000)::bigint
))::text as operation from tenantry.operations o`

/** Starts an operation; its first steps may be given as finished. */
export async function startOperation(
  tx: Queryable,
  kind: OperationKind,
  tenantId: string,
  steps: readonly string[] = [],
): Promise<void> {
  await tx.query(
    'insert into tenantry.operations (id, kind, tenant_id, steps) values ($1, $2, $3, $4::text[])',
    [randomUUID(), kind, tenantId, steps],
  )
}

/** The tenant's unfinished operation, if it has one; there is never more than one. */
export async function findUnfinished(db: Queryable, tenantId: string): Promise<Operation | undefined> {
  return (await read(db, "where o.tenant_id = $1 and o.state <> 'done'", [tenantId]))[0]
}

/** All unfinished operations, the oldest first. */
export async function listUnfinished(db: Queryable): Promise<Operation[]> {
  return read(db, "where o.state <> 'done' order by o.started_at", [])
}

/** Marks steps as finished, in the transaction that holds their effects. */
export async function markSteps(
  tx: Queryable,
  operation: Pick<Operation, 'id'>,
  steps: readonly string[],
): Promise<void> {
  await tx.query(
    `update tenantry.operations set steps = steps || $2::text[], state = 'running', error = null, updated_at = now()
     where id = $1`,
    [operation.id, steps],
  )
}

/** Ends the creation of a tenant, which is served from the commit on. */
export async function finishCreation(tx: Queryable, operation: Pick<Operation, 'id'>): Promise<void> {
  await tx.query(
    `with done as (
       update tenantry.operations set state = 'done', error = null, updated_at = now() where id = $1
       returning tenant_id
     )
     update tenantry.tenants t set status = 'active', updated_at = now() from done
     where t.id = done.tenant_id and t.status = 'provisioning'`,
    [operation.id],
  )
}

/** Keeps why an attempt failed, and the steps that it finished and has not marked. */
export async function recordFailure(
  db: Queryable,
  operation: Pick<Operation, 'id'>,
  error: string,
  steps: readonly string[],
): Promise<void> {
  await db.query(
    `update tenantry.operations set state = 'failed', error = $2, steps = steps || $3::text[], updated_at = now()
     where id = $1 and state <> 'done'`,
    [operation.id, error, steps],
  )
}

/** Forgets what was done for a tenant. */
export async function forgetOperations(tx: Queryable, tenantId: string): Promise<void> {
  await tx.query('delete from tenantry.operations where tenant_id = $1', [tenantId])
}

async function read(db: Queryable, where: string, values: readonly unknown[]): Promise<Operation[]> {
  const { rows } = await db.query<{ operation: string }>(`select ${OPERATION_JSON} ${where}`, values)
  return rows.map(({ operation }) => {
    const document = JSON.parse(operation) as Operation & { startedAt: number; updatedAt: number }
    return {
      ...document,
      tenantKey: document.tenantKey,
      error: document.error,
      startedAt: new Date(document.startedAt),
      updatedAt: new Date(document.updatedAt),
    }
  })
}
