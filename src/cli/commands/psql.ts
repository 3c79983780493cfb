/** `tenantry psql`: PostgreSQL's own terminal inside one tenant. */
import { Command } from 'commander'
import { enterTenant } from '../enter-tenant.ts'
import { runChild } from '../run-child.ts'
import type { Shell } from '../shell.ts'

const HELP = `
Examples:
  $ tenantry psql acme
  $ tenantry psql acme -- -c 'select count(*) from orders'`

export function psqlCommand(shell: Shell): Command {
  return new Command('psql')
    .description('open psql inside a tenant')
    .usage('<tenant> [-- <psql arguments...>]')
    .argument('<tenant>', 'its key or id')
    .addHelpText('after', HELP)
    .action(async (tenant: string) => {
      const environment = await enterTenant(shell, tenant)
      const advice =
        'Install the PostgreSQL client (Debian: apt install postgresql-client; macOS: brew install libpq).'
      shell.exitCode = await runChild(['psql', ...(shell.invocation.rest ?? [])], environment, advice)
    })
}
