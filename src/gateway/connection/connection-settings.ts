/** How the connections of a tenancy are opened and used. */
import type pg from 'pg'
import type { Events } from '../../core/events.ts'
import type { Binding } from '../binding.ts'
import type { RepeatedTexts } from './statement-names.ts'

/** The same for all connections to a server, but for database and login. */
export interface ConnectionSettings {
  readonly config: pg.ClientConfig
  /** False behind a pooler that hands statements to changing backends: nothing is prepared under a name there. */
  readonly named: boolean
  /**
   * True where the pooler is said to carry names: the context is prepared, if that proves true. Nothing else is: it takes
   * equal texts for one statement, and another tenant's parameter types would silently change the answer.
   */
  readonly carried?: boolean
  /** Where connections serve one tenant alone: that tenant, as it was known last. */
  readonly resident?: () => Binding | undefined
  /** What came more than once on any connection. */
  readonly repeated: RepeatedTexts
  /** The text of a statement as it must read in tables that tenants share; usually the same. */
  forSharedTables(text: string): string
  /** Refuses what would hold up others in tables that users share. @throws TNY204 */
  forCommonTables?(text: string): void
  readonly events: Events
  /** How long central statements may run; tenants' limits come with their binding. 0 for no limit. */
  readonly statementTimeoutMs: number
}
