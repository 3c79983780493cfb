import { resolve } from 'node:path'
import { defineConfig } from 'tenantry'
import { seed } from './seed.ts'

export default defineConfig({
  // DATABASE_URL and TENANTRY_ADMIN_URL say where the database is; without them, the embedded server is used.
  seed,
  embedded: { dir: resolve(import.meta.dirname, '../../.tenantry') },
})
