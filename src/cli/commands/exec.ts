/** `tenantry exec`: runs a program whose ordinary PostgreSQL connections land inside one tenant. */
import { Command } from 'commander'
import { enterTenant } from '../enter-tenant.ts'
import { misuse } from '../failure.ts'
import { runChild } from '../run-child.ts'
import type { Shell } from '../shell.ts'

const HELP = `
The program gets DATABASE_URL and the PG* variables of libpq, with the tenant's role and search_path as start-up
options, and TENANTRY_TENANT (the key) and TENANTRY_TENANT_ID. It needs a direct connection: poolers in transaction
mode do not pass start-up options on. The SQL guard does not watch it, so run only programs that you trust.
The exit code is the program's own.

Examples:
  $ tenantry exec acme -- node scripts/report.js
  $ tenantry exec acme -- sh -c 'pg_dump --schema-only "$DATABASE_URL"'`

export function execCommand(shell: Shell): Command {
  return new Command('exec')
    .description('run a program whose PostgreSQL connections land inside a tenant')
    .usage('<tenant> -- <command> [arguments...]')
    .argument('<tenant>', 'its key or id')
    .addHelpText('after', HELP)
    .action(async (tenant: string) => {
      const { rest } = shell.invocation
      if (rest === undefined || rest.length === 0) {
        throw misuse('exec names no program after --', `tenantry exec ${tenant} -- node script.js`)
      }
      const environment = await enterTenant(shell, tenant)
      shell.exitCode = await runChild(rest, environment, 'Check its name and the PATH.')
    })
}
