/** What the servers of one route share: the row of a tenant by its key, through Tenantry or by hand. */
import { createTenancy, subdomain, type Tenancy } from 'tenantry'
import { type ReadRow, readText } from '../contenders/contender.ts'
import { openBarePool } from '../support/bare-pool.ts'

/** With Tenantry a server also mounts its middleware for `tenancy`; without, it hands over the host. */
export interface OneRead {
  readonly tenancy: Tenancy | undefined
  read(host: string, id: string): Promise<ReadRow | undefined>
  close(): Promise<void>
}

/** For each face. */
export const FACE = { resolve: subdomain({ root: 'localhost' }), except: ['/healthz'] }

export const PORT = Number(process.env['PORT'] ?? 3000)

/** As WITH_TENANTRY says, on DATABASE_URL with POOL_MAX connections. */
export function openOneRead(): OneRead {
  const [url, max] = [process.env['DATABASE_URL'] ?? '', Number(process.env['POOL_MAX'] ?? 10)]
  return process.env['WITH_TENANTRY'] === '1' ? byTenantry(url, max) : byHand(url, max)
}

function byTenantry(connection: string, max: number): OneRead {
  const tenancy = createTenancy({ connection, max })
  return {
    tenancy,
    async read(_host, id) {
      const { rows } = await tenancy.pool.query<ReadRow>(readText('orders'), [id])
      return rows[0]
    },
    close: () => tenancy.close(),
  }
}

/** The least that serves the same tenants: the schema is what the host says, and nothing is checked. */
function byHand(url: string, max: number): OneRead {
  const pool = openBarePool(url, max)
  return {
    tenancy: undefined,
    async read(host, id) {
      const schema = `tenant_${host.slice(0, host.indexOf('.'))}`
      const { rows } = await pool.query<ReadRow>(readText(`${schema}.orders`), [id])
      return rows[0]
    },
    close: () => pool.end(),
  }
}

/** Ends a server on SIGTERM; kept connections are cut. */
export function endOnSigterm(
  server: { close(): unknown; closeAllConnections(): void },
  { close }: OneRead,
): void {
  process.once('SIGTERM', () => {
    server.close()
    server.closeAllConnections()
    void close()
  })
}
