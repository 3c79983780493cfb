/** The context of a connection that serves one tenant alone: given as it is opened, and gone back to by each flight. */
import pg from 'pg'
import type { Binding } from '../binding.ts'
import { bindAndExecute, type Entry } from './context-statement.ts'

const RESET_NAME = 'tenantry_reset'
const RESET_TEXT = 'reset all'
const ROLE_NAME = 'tenantry_role'
const ROLE_TEXT = "select where set_config('role', $1, true) = ''"

/**
 * Whether RESET ALL leads to the context: a connection's own configuration may say otherwise, and what stands in between
 * may ignore it. It leaves the role alone, so that a login of the tenant's own must not be able to take on another.
 * Before PostgreSQL 16 every member of a role was.
 */
const QUESTION = `select (current_setting('search_path') = $1 and current_setting('app.current_tenant', true) = $2
  and current_setting('tenantry.proof', true) = $3 and current_setting('statement_timeout')::interval = $4::interval
  and current_setting('idle_in_transaction_session_timeout')::interval = $5::interval
  and current_user = session_user and (session_user <> $6 or not exists (
    select from pg_auth_members m join pg_roles r on r.oid = m.member
    where r.rolname = session_user and coalesce((to_jsonb(m) ->> 'set_option')::boolean, true)))
)::text as stays`

/** The settings that a session of the tenant's alone begins with: all of its context but the role. */
export function residentSettings(binding: Binding): Readonly<Record<string, string>> {
  return {
    search_path: binding.searchPath,
    'app.current_tenant': binding.tenantId,
    'tenantry.proof': binding.proof,
    statement_timeout: binding.statementTimeout,
    idle_in_transaction_session_timeout: binding.idleInTransactionTimeout,
  }
}

/**
 * What a session begins with is what RESET ALL goes back to, and that costs a tenth of binding it anew. So a function that
 * sets something for the session sets it for its own statement, as it does where the context is bound. The role is
 * entered each time, unless the login is the tenant's own: the server asks then whether it still may be.
 * Source: PostgreSQL manual, RESET; docs/decisions/0019-a-context-that-stays.md.
 */
export class ResidentContext {
  readonly #entry: Entry
  #binding: Binding

  private constructor(binding: Binding, entry: Entry) {
    this.#binding = binding
    this.#entry = entry
  }

  /**
   * @param client was opened with the settings of `residentSettings`.
   * @returns `undefined` where the context has to be bound by each flight all the same.
   * @throws where the connection is lost
   */
  static async settle(client: pg.Client, binding: Binding): Promise<ResidentContext | undefined> {
    const { login, role } = binding
    const [path, tenant, proof, ...limits] = Object.values(residentSettings(binding))
    try {
      await client.query({ name: RESET_NAME, text: RESET_TEXT })
      if (login === undefined) await client.query({ name: ROLE_NAME, text: ROLE_TEXT, values: [role] })
      const { rows } = await client.query<{ stays: string | null }>(QUESTION, [
        path,
        tenant,
        proof,
        ...limits.map((ms) => `${ms} ms`),
        role,
      ])
      if (rows[0]?.stays !== 'true') return undefined
    } catch (error) {
      // A server that is hardened further than we know. Whoever may not enter is told so by the flight.
      if (error instanceof pg.DatabaseError && error.code === '42501') return undefined
      throw error
    }
    const reset = bindAndExecute(RESET_NAME, [])
    if (login !== undefined) return new ResidentContext(binding, { bytes: reset, commands: 1 })
    const bytes = Buffer.concat([reset, bindAndExecute(ROLE_NAME, [role])])
    return new ResidentContext(binding, { bytes, commands: 2 })
  }

  /** `undefined` where it is another context than the one that the connection was opened with. */
  entryOf(binding: Binding): Entry | undefined {
    return this.#holds(binding) ? this.#entry : undefined
  }

  /** The tenant has changed since: another connection would serve it with less. */
  isOutdatedBy(binding: Binding): boolean {
    return binding.scope === this.#binding.scope && !this.#holds(binding)
  }

  #holds(binding: Binding): boolean {
    if (binding === this.#binding) return true
    if (binding.role !== this.#binding.role) return false
    const known = residentSettings(this.#binding)
    if (Object.entries(residentSettings(binding)).some(([name, value]) => known[name] !== value)) return false
    this.#binding = binding
    return true
  }
}
