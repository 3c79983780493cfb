/** `tenantry init`: adds Tenantry to an existing project and makes both logins in its database. */
import { createRequire } from 'node:module'
import { join, relative, resolve } from 'node:path'
import { Command, Option } from 'commander'
import type { Enforcement } from '../../isolation/open-rights.ts'
import { withLogin, type CreatedLogin } from '../../isolation/logins.ts'
import { newMasterKey } from '../../isolation/master-key.ts'
import { ask, canAsk } from '../ask.ts'
import { requireWritable, writeVariables } from '../env-file.ts'
import { misuse } from '../failure.ts'
import type { Project } from '../load-config.ts'
import { askForOwnerUrl, checkOwnerUrl } from '../owner-url.ts'
import { addProjectFiles, type ProjectFile } from '../project-files.ts'
import { setUpDatabase, type SetUp } from '../set-up-database.ts'
import type { Shell } from '../shell.ts'

const ADMIN = 'tenantry_admin'
const APP = 'tenantry_app'

const HELP = `
It never overwrites a file, and may be run again: what is there already is left as it is, passwords of logins too.
The URL is used now and stored nowhere. Without one, only the files are added.

Examples:
  $ tenantry init                                     asks for the owner's URL
  $ tenantry init --yes --url "$OWNER_URL" --write-env .env.local
  $ tenantry init --yes --url "$OWNER_URL" --rotate   new passwords for both logins`

interface InitOptions {
  readonly url?: string
  readonly yes?: boolean
  readonly rotate?: boolean
  readonly writeEnv?: string
  readonly enforcement?: Enforcement
}

export function initCommand(shell: Shell): Command {
  return new Command('init')
    .description('add Tenantry to a project: configuration, migration folders, two logins, the catalog')
    .option('--url <url>', 'the URL of the database’s owner, or of a superuser')
    .option('--yes', 'ask nothing')
    .option(
      '--write-env <file>',
      'write URLs and master key into this file (mode 0600) instead of printing them',
    )
    .option('--rotate', 'give logins that exist already a new password')
    .addOption(
      new Option(
        '--enforcement <who>',
        'database: harden the server even if other logins lose rights; guard: leave it as it is',
      ).choices(['database', 'guard']),
    )
    .addHelpText('after', HELP)
    .action((options: InitOptions) => init(shell, options))
}

async function init(shell: Shell, options: InitOptions): Promise<void> {
  const { output } = shell
  const asks = options.yes !== true && canAsk()
  if (options.yes !== true && !asks && options.url === undefined) {
    throw misuse('there is no terminal to ask for the URL', 'Pass --url, or --yes for the files alone.')
  }
  const project = await shell.project()
  const envFile = options.writeEnv === undefined ? undefined : resolve(options.writeEnv)
  if (envFile !== undefined) {
    requireWritable(envFile, [
      { name: 'DATABASE_URL', login: APP },
      { name: 'TENANTRY_ADMIN_URL', login: ADMIN },
    ])
  }
  const ownerUrl =
    options.url !== undefined
      ? checkOwnerUrl(options.url)
      : asks
        ? await askForOwnerUrl('none: only the files')
        : undefined
  const files = addProjectFiles(project)
  if (!hasPackage(project)) output.notice('The configuration imports the package: npm install tenantry pg')
  if (ownerUrl === undefined) {
    output.result({ files }, () => [...describeFiles(files), '', ...withoutDatabase()].join('\n'))
    return
  }
  const setUp = await setUpDatabase({
    onRefused: () => {
      output.notice(
        'Tenants are kept apart by roles, so there is no way without them. Somebody who may make roles can run',
      )
      output.notice('the statements of docs/reference/configuration.md; after that: tenantry migrate up')
    },
    ownerUrl,
    rotate: options.rotate ?? false,
    enforcement: options.enforcement,
    harmOthers: async (logins) => asks && (await askToHarden(logins)),
    onPasswordsLost: () =>
      output.notice(
        'The logins were made, but their passwords are lost: after mending this, run it again with --rotate.',
      ),
    knownAdmin: project.config.admin ?? process.env['TENANTRY_ADMIN_URL'],
  })
  const urls = urlsOf(ownerUrl, setUp)
  if (envFile !== undefined && Object.keys(urls).length > 0) writeVariables(envFile, urls)
  const shown = envFile === undefined ? urls : {}
  output.result(documentOf(files, setUp, shown, envFile), () =>
    [
      ...describeFiles(files),
      '',
      ...describeDatabase(setUp),
      '',
      ...describeUrls(urls, envFile),
      ...next(setUp),
    ].join('\n'),
  )
  if (options.enforcement === 'database' && setUp.enforcement !== 'database') {
    output.notice(
      'tenantry: the server did not let this connection take everything away; the SQL guard alone refuses it.',
    )
    output.notice('hint: run it with a superuser’s URL, or accept that with --enforcement guard.')
    shell.exitCode = 1
  }
}

async function askToHarden(logins: readonly string[]): Promise<boolean> {
  const question = `Harden this database? The logins ${logins.join(', ')} lose set_config, DO and temporary tables (yes/no)`
  return /^y(es)?$/i.test(await ask(question, 'no'))
}

/** Only what became known now: passwords of logins that were there are nobody's to show. */
function urlsOf(ownerUrl: string, { admin, app, catalog }: SetUp): Record<string, string> {
  return {
    ...(app.password === undefined ? {} : { DATABASE_URL: withLogin(ownerUrl, app) }),
    ...(admin.password === undefined ? {} : { TENANTRY_ADMIN_URL: withLogin(ownerUrl, admin) }),
    // For an installation that begins here; another key later would shut its sealed tenants out.
    ...(catalog?.includes(FIRST_MIGRATION) === true && !hasMasterKey()
      ? { TENANTRY_MASTER_KEY: newMasterKey() }
      : {}),
  }
}

/** Of the catalog: where it has just run, there was none before. */
const FIRST_MIGRATION = 'tenants'

function hasMasterKey(): boolean {
  return (process.env['TENANTRY_MASTER_KEY'] ?? '') !== ''
}

function documentOf(
  files: readonly ProjectFile[],
  { admin, app, enforcement, closed, open, spared, catalog }: SetUp,
  urls: Readonly<Record<string, string>>,
  envFile: string | undefined,
): object {
  return {
    files,
    logins: [admin, app].map(({ name, password }) => ({
      name,
      status: password === undefined ? 'exists' : 'set',
    })),
    enforcement,
    hardened: closed,
    open,
    spared,
    catalog: catalog ?? null,
    ...(urls['DATABASE_URL'] === undefined ? {} : { databaseUrl: urls['DATABASE_URL'] }),
    ...(urls['TENANTRY_ADMIN_URL'] === undefined ? {} : { adminUrl: urls['TENANTRY_ADMIN_URL'] }),
    ...(urls['TENANTRY_MASTER_KEY'] === undefined ? {} : { masterKey: urls['TENANTRY_MASTER_KEY'] }),
    ...(envFile === undefined ? {} : { envFile }),
  }
}

function describeFiles(files: readonly ProjectFile[]): string[] {
  return files.map(({ path, status }) => `${status === 'created' ? 'created' : 'exists '}  ${path}`)
}

function describeDatabase({ admin, app, enforcement, closed, spared, catalog }: SetUp): string[] {
  const login = ({ name, password }: CreatedLogin): string =>
    password === undefined
      ? `${name} is there already (its password stays; --rotate gives a new one)`
      : `${name} has a new password`
  const why =
    enforcement === 'database'
      ? 'the server itself refuses what the SQL guard refuses'
      : spared.length > 0
        ? `hardening would affect ${spared.join(', ')}; --enforcement database does it all the same`
        : 'the SQL guard alone refuses; `tenantry doctor` shows what is open'
  return [
    `login        ${login(admin)}`,
    `login        ${login(app)}`,
    `enforcement  ${enforcement}: ${why}${closed.length === 0 ? '' : ` (${closed.length} rights taken from everybody)`}`,
    `catalog      ${catalog === undefined ? 'not looked at: the admin URL is not known here' : catalog.length === 0 ? 'is there already' : 'installed'}`,
  ]
}

function describeUrls(urls: Readonly<Record<string, string>>, envFile: string | undefined): string[] {
  const names = Object.keys(urls)
  if (names.length === 0) return []
  if (envFile !== undefined) return [`${names.join(', ')} written to ${relative(process.cwd(), envFile)}`, '']
  const lines = Object.entries(urls).map(([name, url]) => `${name}=${url}`)
  return ['Shown only now; keep them where your secrets live:', '', ...lines, '']
}

function next({ catalog }: SetUp): string[] {
  return catalog === undefined
    ? ['Next, with TENANTRY_ADMIN_URL set: tenantry migrate up']
    : ['Next: tenantry migrate up, then tenantry tenants create acme']
}

function withoutDatabase(): string[] {
  return [
    'No database was touched. Next, one of:',
    '  tenantry dev                     PostgreSQL on this machine, nothing to install',
    '  tenantry init --url postgres://…  logins and catalog in a database of yours',
  ]
}

/** Whether the configuration will find what it imports. */
function hasPackage({ folder }: Project): boolean {
  try {
    createRequire(join(folder, 'package.json')).resolve('tenantry/package.json')
    return true
  } catch {
    return false
  }
}
