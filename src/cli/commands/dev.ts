/** `tenantry dev`: PostgreSQL for a project on this machine, for as long as the command runs. */
import { existsSync } from 'node:fs'
import { relative } from 'node:path'
import { Command } from 'commander'
import { endWithParent } from '../../../dev/parent-watch.ts'
import { prepareEmbedded, type ProjectServer } from '../../../dev/project.ts'
import { createControlPlane } from '../../control-plane.ts'
import { folderOf } from '../../core/config.ts'
import { TenantryError } from '../../core/errors.ts'
import { misuse } from '../failure.ts'
import type { Project } from '../load-config.ts'
import type { Output } from '../output.ts'
import { migrationFolders, type Shell } from '../shell.ts'

const HELP = `
It makes a database with both logins, hardens it, and runs the project's migrations. The data stay in .tenantry until
--reset. While it runs, the other commands of this project find it by themselves where no DATABASE_URL is set.

Examples:
  $ tenantry dev
  $ tenantry dev --json | while read -r line; do …      one line as soon as it is ready`

export function devCommand(shell: Shell): Command {
  return new Command('dev')
    .description('run PostgreSQL for this project, without installing a server')
    .option(
      '--port <port>',
      'the port on 127.0.0.1 (default: the one of the last start, else a free one)',
      parsePort,
    )
    .option('--reset', 'remove all its data first')
    .addHelpText('after', HELP)
    .action(async (options: { port?: number; reset?: boolean }) => {
      const { output } = shell
      const project = await shell.project()
      const asked = waitForEnd()
      const running = await prepareEmbedded({
        dir: project.embedded,
        ...(options.port === undefined ? {} : { port: options.port }),
        ...(options.reset === true ? { reset: true } : {}),
        onProgress: (line) => output.notice(line),
      })
      try {
        await migrate(project, running, output)
        output.result(documentOf(running), () => describe(project, running))
        const why = await Promise.race([asked.then(() => 'asked'), running.server.ended.then(() => 'died')])
        if (why === 'died') {
          throw new TenantryError('TNY010', {
            params: { reason: 'it ended by itself', log: running.server.log },
          })
        }
        output.notice('stopping PostgreSQL')
      } finally {
        await running.stop()
      }
    })
}

function parsePort(text: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535) throw misuse(`--port is "${text}", not a port`)
  return port
}

/** One Ctrl-C may arrive twice within moments, from the terminal and from npm; a later one is meant. */
const SAME_WISH_MS = 2_000

/** Ctrl-C, a signal, or the end of whoever started us. A second Ctrl-C ends at once: the server follows by itself. */
function waitForEnd(): Promise<void> {
  const unwatch = endWithParent()
  return new Promise((resolve) => {
    let first: number | undefined
    const end = (): void => {
      first ??= performance.now()
      if (performance.now() - first > SAME_WISH_MS) process.exit(1)
      unwatch()
      // A listener would keep the channel, and with it this process, open.
      process.off('disconnect', end)
      resolve()
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end)
    process.once('disconnect', end)
  })
}

/** A migration that fails must not take the server away from whoever is mending it. */
async function migrate(project: Project, { adminUrl }: ProjectServer, output: Output): Promise<void> {
  const plane = createControlPlane({ connection: adminUrl, migrations: migrationFolders(project) })
  try {
    const { shared, tenants, failed } = await plane.migrate.up({
      // Whoever develops mends files and rows in turn.
      retry: true,
      onProgress: ({ done, total, tenant }) => output.progress(`migrated ${done} of ${total}: ${tenant}`),
    })
    const changed = tenants.filter(({ applied }) => applied.length > 0).length
    if (shared.length > 0) output.notice(`migrated the shared tables: ${shared.join(', ')}`)
    if (changed > 0) output.notice(`migrated ${changed} tenants`)
    for (const { key, error } of failed) output.notice(`${key}: ${error.code}: ${error.message}`)
  } catch (error) {
    if (!(error instanceof TenantryError)) throw error
    output.notice(`migrations: ${error.code}: ${error.message}`)
    output.notice(`hint: ${error.hint}`)
  } finally {
    await plane.close()
  }
}

function documentOf({ appUrl, adminUrl, superuserUrl, masterKey, server }: ProjectServer): object {
  const { host, port, dir, version } = server
  return {
    databaseUrl: appUrl,
    adminUrl,
    superuserUrl,
    masterKey,
    host,
    port,
    dir,
    version,
    pid: process.pid,
  }
}

function describe(project: Project, { appUrl, adminUrl, masterKey, server }: ProjectServer): string {
  const where = relative(process.cwd(), server.dir) || server.dir
  const shadowed = ['DATABASE_URL', 'TENANTRY_ADMIN_URL'].filter((name) => (process.env[name] ?? '') !== '')
  return [
    `PostgreSQL ${server.version} is ready; its data are in ${where}.`,
    '',
    `DATABASE_URL=${appUrl}`,
    `TENANTRY_ADMIN_URL=${adminUrl}`,
    `TENANTRY_MASTER_KEY=${masterKey}`,
    '',
    shadowed.length > 0 || project.config.connection !== undefined || project.config.admin !== undefined
      ? `Other commands will not use it: ${shadowed.join(' and ') || 'tenantry.config.ts'} names another database.`
      : 'In another terminal of this project: tenantry tenants create acme',
    existsSync(folderOf(project.migrations.tenant))
      ? ''
      : 'There are no migrations yet: tenantry init --yes makes the folders.',
    'Ctrl-C stops it.',
  ]
    .filter((line, at, lines) => line !== '' || lines[at - 1] !== '')
    .join('\n')
}
