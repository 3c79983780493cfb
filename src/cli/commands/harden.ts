/** `tenantry harden`: takes from everybody what a tenant must not have in one database, and gives it back. */
import { Command } from 'commander'
import { createAdminDatabase } from '../../gateway/admin-database.ts'
import type { AdminDatabase } from '../../core/database.ts'
import { harden, type Hardening, loginsAffected, soften } from '../../isolation/harden.ts'
import type { Enforcement } from '../../isolation/open-rights.ts'
import { probeServer } from '../../isolation/probe.ts'
import { ask, canAsk } from '../ask.ts'
import { clean } from '../clean-text.ts'
import { misuse } from '../failure.ts'
import { requireOwnerUrl } from '../owner-url.ts'
import type { Shell } from '../shell.ts'

const HELP = `
It takes from everybody in this one database: set_config, functions that run SQL given as text or reach other
sessions, DO blocks, temporary tables. Both logins of Tenantry keep what they need; the logins that would lose
something are named first. Only a superuser can take all of it away; the result says what was achieved.

Examples:
  $ tenantry harden                                   asks for the owner's URL, and before it changes anything
  $ tenantry harden --yes --url "$OWNER_URL" --keep backup --keep replication
  $ tenantry harden --undo --yes --url "$OWNER_URL"   gives everybody back what PostgreSQL gives`

interface HardenFlags {
  readonly url?: string
  readonly undo?: boolean
  readonly yes?: boolean
  readonly keep?: readonly string[]
}

export function hardenCommand(shell: Shell): Command {
  return new Command('harden')
    .description('let the server itself refuse what leaves a tenant, or take that back')
    .option('--url <url>', 'the URL of a superuser on the database, or of its owner')
    .option('--undo', 'give back what it took')
    .option('--yes', 'ask nothing, though other logins lose rights')
    .option('--keep <login...>', 'a login that keeps everything: of backups, restores, replication')
    .addHelpText('after', HELP)
    .action((flags: HardenFlags) => run(shell, flags))
}

async function run(shell: Shell, flags: HardenFlags): Promise<void> {
  const owner = createAdminDatabase(await requireOwnerUrl(flags.url), 1)
  try {
    await (flags.undo === true ? undo(shell, owner) : apply(shell, owner, flags))
  } finally {
    await owner.close()
  }
}

async function apply(shell: Shell, owner: AdminDatabase, flags: HardenFlags): Promise<void> {
  const { output } = shell
  const { login } = await probeServer(owner)
  // The owner makes dumps and migrations; it keeps what those need.
  const keep = [...(flags.keep ?? []), ...(login.superuser ? [] : [login.name])]
  const affected = await loginsAffected(owner, { keep })
  if (affected.length > 0) {
    output.notice(`These logins lose set_config, DO, temporary tables and the like: ${affected.join(', ')}`)
    if (flags.yes !== true && !(await confirm())) {
      throw misuse('nothing was changed', 'Keep logins by --keep, or agree with --yes.')
    }
  }
  const result = await harden(owner, { keep })
  output.result({ ...result, affected }, () => describe(result))
  if (result.enforcement === 'database') return
  output.notice(
    'hint: A superuser can take the rest away; where there is none, sealed tenants need no guard.',
  )
  shell.exitCode = 1
}

async function undo({ output }: Shell, owner: AdminDatabase): Promise<void> {
  const before = await probeServer(owner)
  await soften(owner)
  const { enforcement, open } = await probeServer(owner)
  const given = open.functions.length - before.open.functions.length
  output.result(
    { enforcement, opened: given },
    () => `enforcement  ${enforcement}: everybody has what PostgreSQL gives (${given} functions given back)`,
  )
}

async function confirm(): Promise<boolean> {
  if (!canAsk()) return false
  return /^y(es)?$/i.test(await ask('Harden this database all the same? (yes/no)', 'no'))
}

/** Rights that are named one by one; a server has a hundred of them. */
const SHOWN = 12

const WHO: Readonly<Record<Enforcement, string>> = {
  database: 'the server itself refuses what the SQL guard refuses, but for SET ROLE',
  guard: 'the SQL guard alone refuses what is still open',
}

function describe({ enforcement, closed, open }: Hardening): string {
  return [
    `enforcement  ${enforcement}: ${WHO[enforcement]}`,
    `closed       ${closed.length === 0 ? 'nothing that was open' : `${closed.length} rights of everybody`}`,
    ...listed(closed),
    ...(open.length === 0 ? [] : [`still open   ${open.length} rights`]),
    ...listed(open),
  ].join('\n')
}

/** Enough to see what it is about; --json has all. What leaves a tenant at once comes first. */
function listed(rights: readonly string[]): string[] {
  const first = rights.filter((right) => right.includes(' set_config('))
  const shown = [...first, ...rights.filter((right) => !first.includes(right))].slice(0, SHOWN)
  const rest = rights.length - shown.length
  return [...shown.map(clean), ...(rest === 0 ? [] : [`… and ${rest} more, which --json names`])].map(
    (line) => `             ${line}`,
  )
}
