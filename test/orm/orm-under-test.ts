/** What the contract of ORMs asks of an adapter's test: one small set of operations, written in the ORM's own API. */
import type { Tenancy, Tenant } from '../../src/index.ts'

/** What not every ORM has. Each is tested where it is there, and named where it is not. */
export type Capability =
  /** `stream`: rows one after the other. */
  | 'streams'
  /** `transaction` inside of one is a savepoint. */
  | 'nested'
  /** `customersWithOrders`: rows with the rows that belong to them, read by the ORM. */
  | 'relations'
  /** Options of `transaction`. */
  | 'isolation'
  | 'read-only'
  /** `upsert` is ON CONFLICT, in one statement. */
  | 'upsert'
  /** node-postgres' global type parsers hold for `raw`. */
  | 'type-parsers'
  /** A helper that uses the global object inside `transaction(fn)` is in that transaction. */
  | 'joins'

/** An ORM, as its users set it up over a tenancy. */
export interface OrmUnderTest {
  readonly name: string
  /** What it has not, each with the reason in a few words. */
  readonly lacks?: Partial<Record<Capability, string>>
  /** Called once: one object serves all tenants in all models. */
  open(tenancy: Tenancy): OrmClient | Promise<OrmClient>
  /** PostgreSQL's code and the constraint, out of the ORM's own error class; also asserts that it is of that class. */
  readDatabaseError(error: unknown): { readonly code: string; readonly constraint?: string | undefined }
}

/** One instance for all tenants. */
export interface OrmClient {
  /** For the tenant of the context, whichever that is in the moment of each call. */
  readonly db: OrmSession
  /** For a tenant that is named; without an argument for that of the context. */
  forTenant(tenant?: string | Tenant): OrmSession
  close?(): Promise<void>
}

export interface TransactionSettings {
  readonly isolation?: 'repeatable read' | 'serializable'
  readonly readOnly?: boolean
}

/** The operations, on a database or inside a transaction. Emails are unique for each tenant. */
export interface OrmSession {
  /** INSERT … RETURNING of one row. */
  create(customer: NewCustomer): Promise<Customer>
  /** One INSERT of many rows. */
  createMany(customers: readonly NewCustomer[]): Promise<void>
  find(email: string): Promise<Customer | undefined>
  /** In the order of `id`. */
  list(page: { readonly limit: number; readonly offset: number }): Promise<Customer[]>
  /** Sets `visits`; how many rows there were. */
  setVisits(email: string, visits: number): Promise<number>
  /** DELETE; how many rows there were. */
  remove(email: string): Promise<number>
  count(): Promise<number>
  /** The sum of `visits`. */
  sumVisits(): Promise<number>
  /** INSERT … ON CONFLICT (email) DO UPDATE SET visits = (the given number); the row as it then is. */
  upsert(customer: Required<NewCustomer>): Promise<Customer>
  addOrder(order: NewOrder): Promise<void>
  /** A join of orders and customers, in the order of `number`. */
  ordersWithCustomer(): Promise<{ number: number; email: string }[]>
  /** Customers that have orders, in the order of `id`, each with their numbers in order. */
  customersWithOrders?(): Promise<{ email: string; numbers: number[] }[]>
  /** SQL as it is, with `$1` … in the order of `values`. */
  raw<R extends object>(text: string, values?: readonly unknown[]): Promise<R[]>
  saveSample(sample: Sample): Promise<number>
  findSample(id: number): Promise<Sample | undefined>
  /** Customers in the order of `id`, not all of them at once. */
  stream?(): AsyncIterable<Customer>
  /** A function inside a transaction, or, where this is one, inside a savepoint. */
  transaction<T>(fn: (tx: OrmSession) => Promise<T>, settings?: TransactionSettings): Promise<T>
}

export interface NewCustomer {
  readonly email: string
  readonly visits?: number
}

export interface Customer {
  readonly id: number
  readonly email: string
  readonly visits: number
}

export interface NewOrder {
  readonly customerId: number
  readonly number: number
}

/** A row of every kind of value; adapters bring what the ORM gives into this form. */
export interface Sample {
  readonly words: string | null
  readonly big: bigint | null
  readonly flag: boolean | null
  readonly at: Date | null
  readonly doc: unknown
  readonly tags: string[] | null
  readonly bytes: Uint8Array | null
  /** numeric(20, 4), as text. */
  readonly amount: string | null
}
