/** Kysely over the gateway: `dbForTenant()` gives a Kysely whose every statement reaches one tenant. */
import {
  Kysely,
  type KyselyConfig,
  PostgresDialect,
  type PostgresDialectConfig,
  type TransactionBuilder,
} from 'kysely'
import { forTenants, type ForTenants, type OrmTenancy } from './for-tenants.ts'

/** Kysely's own options, and of its PostgreSQL dialect `cursor`: the class of the package pg-cursor, for `stream()`. */
export type KyselyForTenantsOptions = Omit<KyselyConfig, 'dialect'> & Pick<PostgresDialectConfig, 'cursor'>

/** The Kysely of a tenant, or, as `db`, the one for the tenant of the context. */
export type DbForTenant<DB> = ForTenants<Kysely<DB>>

/**
 * @example
 * const dbForTenant = kyselyForTenants<Database>(tenancy)
 * const orders = await dbForTenant('acme').selectFrom('orders').selectAll().execute()
 * const { db } = dbForTenant // for the tenant of the context
 */
export function kyselyForTenants<DB>(
  tenancy: OrmTenancy<PostgresDialectConfig['pool']>,
  options: KyselyForTenantsOptions = {},
): DbForTenant<DB> {
  const { cursor, ...own } = options
  const scope: Scope = (fn) => tenancy.transactionScope(fn)
  return forTenants(tenancy, (pool) =>
    scoped(
      new Kysely<DB>({ ...own, dialect: new PostgresDialect({ pool, ...(cursor && { cursor }) }) }),
      scope,
    ),
  )
}

type Scope = OrmTenancy<unknown>['transactionScope']

/** What gives another Kysely over the same connections. */
const COPIES = [
  'withPlugin',
  'withoutPlugins',
  'withSchema',
  'withTables',
  '$extendTables',
  '$omitTables',
  '$pickTables',
] as const

/** A Kysely whose transactions, and those of its copies, are that of everything their function calls. */
function scoped<DB>(db: Kysely<DB>, scope: Scope): Kysely<DB> {
  const { transaction, connection } = db
  db.transaction = () => scopedBuilder(transaction.call(db), scope)
  db.connection = () => {
    const builder = connection.call(db)
    const { execute } = builder
    builder.execute = (fn, ...rest) =>
      execute.call(builder, (inner) => fn(scoped(inner, scope)), ...rest) as never
    return builder
  }
  for (const name of COPIES) {
    const copy = db[name] as (...args: unknown[]) => Kysely<DB>
    Object.assign(db, { [name]: (...args: unknown[]) => scoped(copy.apply(db, args), scope) })
  }
  return db
}

function scopedBuilder<DB>(builder: TransactionBuilder<DB>, scope: Scope): TransactionBuilder<DB> {
  const { execute, setAccessMode, setIsolationLevel } = builder
  builder.execute = (fn) => scope(() => execute.call(builder, fn as never)) as never
  builder.setAccessMode = (mode) => scopedBuilder(setAccessMode.call(builder, mode), scope)
  builder.setIsolationLevel = (level) => scopedBuilder(setIsolationLevel.call(builder, level), scope)
  return builder
}
