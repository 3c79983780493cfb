/** The options of createTenancy, and what counts where one is left out. */
import type { ConnectionSpec } from './core/config.ts'
import { TenantryError } from './core/errors.ts'
import type { GuardPolicy } from './core/guard.ts'
import type { Tenant } from './core/tenant.ts'
import type { TenantLimits } from './gateway/binding.ts'
import type { TransactionPolicy } from './gateway/pg-pool/transaction-scopes.ts'

/** Options of `createTenancy`. Times in milliseconds. */
export interface TenancyOptions {
  /** The application's login (`tenantry_app`), as a URL or node-postgres options. Default: `DATABASE_URL`. */
  readonly connection?: ConnectionSpec | undefined
  /** A second address for LISTEN, where `connection` goes through a pooler. Default: `connection`. */
  readonly direct?: ConnectionSpec | undefined
  /**
   * The pooler that `connection` leads to, in transaction mode: nothing is prepared under a name then.
   * `pgbouncer-prepared` where every pooler on the way is PgBouncer 1.21 or later with `max_prepared_statements` above 0:
   * the statement that enters the tenant is prepared.
   */
  readonly pooler?: 'pgbouncer' | 'pgbouncer-prepared' | undefined
  /**
   * The secret that sealed tenants' logins are derived from, at least 32 characters; while it is being changed, the new
   * one and the former. Default: `TENANTRY_MASTER_KEY`, where several are separated by commas.
   */
  readonly masterKey?: string | readonly string[] | undefined
  /**
   * What the SQL guard does with a statement that a tenant may not run. `report` tells it as the event
   * `statement:refused` and sends it all the same, unless something of it would reach the next tenant on the connection:
   * for the weeks in which an application moves in. Default: `enforce`.
   */
  readonly guard?: GuardPolicy | undefined
  /** Most connections of this process, however many tenants there are. Default: 10. */
  readonly max?: number | undefined
  /** Most statements that wait for a connection at once; the next one fails with TNY214. Default: 10,000. */
  readonly maxWaiting?: number | undefined
  /** How long a statement waits for a connection before it fails with TNY203. Default: 10,000. */
  readonly waitTimeoutMs?: number | undefined
  /**
   * How long a statement may run, on the server; where no answer comes for as long again (at most five seconds), the
   * connection is given up. 0 for no limit. Default: 60,000.
   */
  readonly statementTimeoutMs?: number | undefined
  /**
   * What a statement does that is made inside the function of a transaction (`tenancy.transaction(fn)`, or an ORM's) for
   * the same tenant, but not by the transaction's client. `join`: it is part of the transaction, and a transaction in it
   * is a savepoint. `refuse`: it fails with TNY230. `separate`: it runs beside the transaction, on another connection.
   * Default: `join`.
   */
  readonly transactions?: TransactionPolicy | undefined
  /** What a tenant may take, usually by its plan: weight, connections, time. Asked once for each record of a tenant. */
  readonly limits?: ((tenant: Tenant) => TenantLimits) | undefined
  /** How long an unused connection stays open. Default: 30,000. */
  readonly idleTimeoutMs?: number | undefined
  /** How long a connection lives; it is then closed at its next rest. Default: 1,800,000. */
  readonly maxAgeMs?: number | undefined
  /**
   * How much memory a connection's backend may hold, in megabytes; it is then closed at its next rest. The server must
   * have room for this times `max`, for each process. Default: 128.
   */
  readonly maxMemoryMb?: number | undefined
  /** How many names of tenants (also such as nobody has) are remembered. Default: 10,000. */
  readonly cacheSize?: number | undefined
}

/** Every bound, filled in. */
export interface Bounds {
  readonly max: number
  readonly maxWaiting: number
  readonly waitTimeoutMs: number
  readonly statementTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly maxAgeMs: number
  readonly maxMemoryMb: number
  readonly cacheSize: number
}

/** setTimeout holds 31 bits; a longer time would fire at once. */
const LARGEST = 2_147_483_647

/** @throws TNY002 where a bound is not a whole number in its range. */
export function readBounds(options: TenancyOptions): Bounds {
  const bounds = {
    max: options.max ?? 10,
    maxWaiting: options.maxWaiting ?? 10_000,
    waitTimeoutMs: options.waitTimeoutMs ?? 10_000,
    statementTimeoutMs: options.statementTimeoutMs ?? 60_000,
    idleTimeoutMs: options.idleTimeoutMs ?? 30_000,
    maxAgeMs: options.maxAgeMs ?? 1_800_000,
    maxMemoryMb: options.maxMemoryMb ?? 128,
    cacheSize: options.cacheSize ?? 10_000,
  }
  for (const [name, value] of Object.entries(bounds)) {
    const least = name === 'statementTimeoutMs' ? 0 : 1
    if (!Number.isInteger(value) || value < least || value > LARGEST) {
      const reason = `\`${name}\` is ${value}, not a whole number from ${least} to ${LARGEST}`
      throw new TenantryError('TNY002', { params: { reason } })
    }
  }
  return bounds
}

/** Code that needs a second connection inside a transaction must find one, also in pools that are too small to share. */
const SMALL_POOL = 4

/**
 * A tenant's limits, filled in. A flood of slow statements keeps what it holds until they end, so that by default no
 * tenant may hold every connection.
 * @throws TNY002 where one is out of its range.
 */
export function readLimits(given: TenantLimits | undefined, bounds: Bounds): Required<TenantLimits> {
  const limits = {
    weight: 1,
    maxConnections: bounds.max < SMALL_POOL ? bounds.max : Math.ceil(bounds.max * 0.75),
    statementTimeoutMs: bounds.statementTimeoutMs,
    idleInTransactionTimeoutMs: 60_000,
    ...given,
  }
  const { weight, maxConnections, statementTimeoutMs, idleInTransactionTimeoutMs } = limits
  requireLimit('weight', weight, weight > 0 && Number.isFinite(weight))
  requireLimit('maxConnections', maxConnections, maxConnections >= 1)
  for (const [name, value] of Object.entries({ statementTimeoutMs, idleInTransactionTimeoutMs })) {
    requireLimit(name, value, Number.isInteger(value) && value >= 0 && value <= LARGEST)
  }
  return limits
}

const POLICIES: ReadonlySet<string> = new Set<TransactionPolicy>(['join', 'refuse', 'separate'])

/** @throws TNY002 where it is none of the three. */
export function readTransactions({ transactions = 'join' }: TenancyOptions): TransactionPolicy {
  if (POLICIES.has(transactions)) return transactions
  const reason = `\`transactions\` is ${JSON.stringify(transactions)}, not 'join', 'refuse' or 'separate'`
  throw new TenantryError('TNY002', { params: { reason } })
}

function requireLimit(name: string, value: number, valid: boolean): void {
  if (!valid)
    throw new TenantryError('TNY002', { params: { reason: `limits gave ${name} the value ${value}` } })
}
