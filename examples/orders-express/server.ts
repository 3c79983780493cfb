/** Serves the backend: `node server.ts`, with DATABASE_URL and TENANTRY_ADMIN_URL in the environment. */
import { drainOnSignal } from 'tenantry/express'
import { app, controlPlane, tenancy } from './app.ts'

await tenancy.ready()
const server = app.listen(Number(process.env['PORT'] ?? 3000))
drainOnSignal({
  server,
  close: async () => {
    await Promise.all([tenancy.close(), controlPlane.close()])
  },
})
