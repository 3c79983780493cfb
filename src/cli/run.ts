/** The command line as a whole: its commands, its global options, and what becomes of errors. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { apiKeysCommand } from './commands/api-keys.ts'
import { contextCommand } from './commands/context.ts'
import { devCommand } from './commands/dev.ts'
import { doctorCommand } from './commands/doctor.ts'
import { domainsCommand } from './commands/domains.ts'
import { execCommand } from './commands/exec.ts'
import { hardenCommand } from './commands/harden.ts'
import { initCommand } from './commands/init.ts'
import { migrateCommand } from './commands/migrate.ts'
import { poolCommand } from './commands/pool.ts'
import { proveCommand } from './commands/prove.ts'
import { psqlCommand } from './commands/psql.ts'
import { secretsCommand } from './commands/secrets.ts'
import { tenantsCommand } from './commands/tenants.ts'
import { verifyCommand } from './commands/verify.ts'
import { exitCodeOf, renderError, toDocument, toTenantryError } from './failure.ts'
import { readInvocation } from './invocation.ts'
import { createShell, type Shell } from './shell.ts'

/** Runs one command line and resolves to its exit code. */
export async function run(argv: readonly string[]): Promise<number> {
  const invocation = readInvocation(argv)
  const shell = createShell(invocation)
  try {
    await createProgram(shell).parseAsync([...invocation.args], { from: 'user' })
    return shell.exitCode
  } catch (error) {
    return report(error, shell)
  }
}

function report(error: unknown, { output, invocation }: Shell): number {
  // Help and version: printed already.
  if (error instanceof CommanderError && error.exitCode === 0) return 0
  const failure = toTenantryError(error)
  output.settle()
  // A group of commands without one of them: its help is on stderr already, and says more.
  const helped = error instanceof CommanderError && error.code === 'commander.help'
  if (!helped) process.stderr.write(`${renderError(failure, invocation.debug)}\n`)
  if (output.json) output.result({ error: toDocument(failure) }, () => '')
  return exitCodeOf(failure)
}

const EXAMPLES = `
Examples:
  $ tenantry init                          set up an existing project
  $ tenantry dev                           PostgreSQL for development, without installing a server
  $ tenantry tenants create acme --name 'Acme Inc.'
  $ tenantry migrate up                    bring all tenants to the newest migration
  $ tenantry exec acme -- npm run report   run a program inside one tenant
  $ tenantry tenants list --json | jq -r '.tenants[].key'

Exit codes: 0 done, 1 failed, 2 misuse. See docs/reference/cli.md.`

function createProgram(shell: Shell): Command {
  const program = new Command('tenantry')
    .description('Multi-tenant PostgreSQL: tenants, migrations, and the server that they live on.')
    .version(readVersion(), '-V, --version', 'print the version')
    .option(
      '--config <file>',
      'the configuration file (default: tenantry.config.ts, here or in a folder above)',
    )
    .option('--json', 'print one JSON document on stdout, for machines')
    .option('--debug', 'print the stack of an error')
    .addHelpText('after', EXAMPLES)
  const commands = [
    initCommand(shell),
    devCommand(shell),
    tenantsCommand(shell),
    domainsCommand(shell),
    apiKeysCommand(shell),
    poolCommand(shell),
    migrateCommand(shell),
    secretsCommand(shell),
    doctorCommand(shell),
    verifyCommand(shell),
    contextCommand(shell),
    proveCommand(shell),
    hardenCommand(shell),
    execCommand(shell),
    psqlCommand(shell),
  ]
  for (const command of commands) program.addCommand(command)
  for (const command of withDescendants(program)) prepare(command)
  return program
}

function withDescendants(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withDescendants)]
}

/** addCommand() hands nothing down, so each command is told: errors are thrown, and we write them ourselves. */
function prepare(command: Command): void {
  command
    .exitOverride()
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => undefined })
}

/** From the nearest package.json above: the sources and the built files lie at different depths. */
function readVersion(): string {
  for (let at = new URL('.', import.meta.url); at.pathname !== '/'; at = new URL('..', at)) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL('package.json', at), 'utf8')) as Record<
        string,
        string
      >
      if (name === 'tenantry') return version ?? ''
    } catch {
      // Not here; one folder up.
    }
  }
  return 'unknown'
}
