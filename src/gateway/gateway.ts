/** Sends statements for tenants and for central work: guard first, then a connection, then one flight. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { QueryResult } from 'pg'
import type { Events } from '../core/events.ts'
import { TenantryError } from '../core/errors.ts'
import type { GuardMode, Handling, StatementGuard } from '../core/guard.ts'
import type { Binding } from './binding.ts'
import type { Connection } from './connection/connection.ts'
import type { Asker } from './pool/connection-pool.ts'
import { neverBegan, refusedByPooler, refusedEntry, refusedLogin } from './connection/database-error.ts'
import type { StatementConfig } from './connection/flight.ts'

/**
 * Whom a pool or client speaks for. `binding` is asked for each statement that enters the tenant anew, so that a
 * suspension or a new home takes effect within a second.
 */
export interface Principal {
  readonly mode: GuardMode
  readonly tenantId: string | undefined
  /**
   * The tenant's binding; `undefined` for central work. At once where memory knows it, which is nearly always.
   * @param fresh from the catalog: the server has just refused what memory said.
   * @throws TNY209, TNY211, some of them at once
   */
  binding(fresh: boolean): Binding | undefined | Promise<Binding | undefined>
}

/** What a gateway and its clients do with a connection, while they hold it. */
export type Link = Pick<
  Connection,
  'send' | 'exchange' | 'status' | 'broken' | 'whenLost' | 'close' | 'ownsBackend'
>

/** What a gateway needs of a pool. */
export interface Connections {
  readonly max: number
  readonly total: number
  readonly idle: number
  readonly waiting: number
  /** @throws TNY203, TNY214 and what opening a connection throws */
  acquire(asker?: Asker, signal?: AbortSignal): Promise<Link>
  /** Without waiting, or not at all. */
  tryAcquire(asker?: Asker): Link | undefined
  release(link: Link): void
}

/** What a gateway is made of. */
export interface GatewayParts {
  readonly pool: Connections
  readonly guard: StatementGuard
  readonly events: Events
  /** Resolves once the parser is loaded and the login was found safe; asked before the first statement. */
  ready(): Promise<void>
}

/**
 * Between attempts to reach a login of a tenant's own: a pooler answers for `server_login_retry` (a second, as we advise)
 * that the login fails, though its secret has been changed or its tenant resumed meanwhile.
 */
const PAUSES_MS = [0, 50, 100, 200, 400, 400, 400]

/** The only way by which statements of tenants reach PostgreSQL. */
export class Gateway {
  readonly pool: Connections
  readonly #guard: StatementGuard
  readonly #events: Events
  readonly #ready: () => Promise<void>
  #isReady = false

  constructor(parts: GatewayParts) {
    this.pool = parts.pool
    this.#guard = parts.guard
    this.#events = parts.events
    this.#ready = parts.ready
  }

  /** True once statements can be judged: `ready` has resolved. */
  get isReady(): boolean {
    return this.#isReady
  }

  /** To be awaited before the first statement. @throws what keeps the gateway from serving */
  async ready(): Promise<void> {
    await this.#ready()
    this.#isReady = true
  }

  /** Judges a statement before anything is sent. @throws TNY204, TNY210, TNY213 */
  check(text: string, { mode, tenantId }: Pick<Principal, 'mode' | 'tenantId'>): Handling {
    try {
      return this.#guard.check(text, mode, (error) =>
        this.#events.emit('statement:refused', { tenantId, error, enforced: false }),
      )
    } catch (error) {
      if (error instanceof TenantryError) {
        this.#events.emit('statement:refused', { tenantId, error, enforced: true })
      }
      throw error
    }
  }

  /** A statement that stands alone: one connection, one round trip. */
  async single(principal: Principal, statement: StatementConfig): Promise<QueryResult> {
    const { connection, result } = await this.open(principal, undefined, statement)
    this.pool.release(connection)
    return result
  }

  /**
   * The first statement of a transaction: BEGIN, its options, the context and the statement in one round trip
   * (FINDINGS 4). Where it fails, `hold` decides whether the connection goes on to its holder: a transaction that
   * failed is still one.
   */
  async open(
    principal: Principal,
    before: readonly string[] | undefined,
    statement: StatementConfig,
    hold?: (connection: Link) => void,
  ): Promise<{ connection: Link; result: QueryResult }> {
    const known = principal.binding(false)
    // What is known already is not awaited: that would cost every statement a turn of the event loop's microtasks.
    let binding = known instanceof Promise ? await known : known
    let refusals = 0
    for (let attempt = 0; ; attempt += 1) {
      let connection: Link | undefined
      try {
        connection = this.pool.tryAcquire(binding) ?? (await this.pool.acquire(binding, statement.signal))
        const result = await connection.send(statement, { binding, before })
        hold?.(connection)
        return { connection, result }
      } catch (error) {
        const placed = hasOwnPlace(binding)
        const refused = connection === undefined ? placed && refusedLogin(error) : refusedEntry(error)
        const unreached = connection === undefined ? placed && refusedByPooler(error) : neverBegan(error)
        if (connection !== undefined) {
          if (hold !== undefined && !refused && !connection.broken && connection.status !== 'I')
            hold(connection)
          else this.pool.release(connection)
        }
        // After a restart every idle connection may have to be found out; one more is a new one.
        if (unreached && attempt <= Math.max(this.pool.max, placed ? PAUSES_MS.length : 0)) {
          if (placed) {
            await sleep(PAUSES_MS[attempt] ?? 0)
            // Or the tenant was suspended, which ends the sessions of its login.
            binding = await principal.binding(true)
          }
          continue
        }
        if (!refused || binding === undefined) throw error
        refusals += 1
        if (refusals > 1) {
          throw new TenantryError('TNY205', { params: { tenant: binding.tenantKey }, cause: error })
        }
        // Suspended, moved, or suspended and resumed since: the catalog knows, and nothing has run yet.
        binding = await principal.binding(true)
      }
    }
  }
}

/** A tenant with a login or a database of its own: how it is let in changes with the tenant, and with its secret. */
function hasOwnPlace(binding: Binding | undefined): boolean {
  return binding?.login !== undefined || binding?.database !== undefined
}
