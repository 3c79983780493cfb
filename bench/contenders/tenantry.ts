/** Tenantry as an application uses it: a pool by tenant, and Knex over it. */
import { createTenancy, type TenancyOptions } from 'tenantry'
import { knexForTenants } from 'tenantry/knex'
import { type ReadContender, type ReadRow, readText } from './contender.ts'

/** `poolFor(tenant).query(…)`. */
export function tenantryReads(options: TenancyOptions, name = 'tenantry'): ReadContender {
  const tenancy = createTenancy(options)
  return {
    name,
    about: 'poolFor(tenant).query()',
    async read(tenant, table, id) {
      const { rows } = await tenancy.poolFor(tenant.id).query<ReadRow>(readText(table), [id])
      return rows[0]?.customer
    },
    close: () => tenancy.close(),
  }
}

/** `dbForTenant(tenant)('orders')`. */
export function tenantryKnexReads(options: TenancyOptions): ReadContender {
  const tenancy = createTenancy(options)
  const dbForTenant = knexForTenants(tenancy)
  return {
    name: 'tenantry_knex',
    about: 'Knex by tenantry/knex',
    async read(tenant, table, id) {
      const row = await dbForTenant(tenant.id)<ReadRow>(table)
        .select('id', 'customer', 'amount')
        .where({ id: String(id) })
        .first()
      return row?.customer
    },
    close: () => tenancy.close(),
  }
}
