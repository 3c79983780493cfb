/** The one tenancy of this process, on DATABASE_URL. */
import { createTenancy } from 'tenantry'

export const tenancy = createTenancy()
