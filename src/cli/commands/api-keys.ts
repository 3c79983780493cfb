/** `tenantry api-keys`: keys that tenants' programs authenticate with. */
import { Command } from 'commander'
import type { ApiKeyRecord } from '../../catalog/api-key-store.ts'
import { misuse } from '../failure.ts'
import type { Shell } from '../shell.ts'
import { type Column, day, renderFacts, renderTable } from '../table.ts'

export function apiKeysCommand(shell: Shell): Command {
  return new Command('api-keys')
    .description('create, list and revoke API keys of tenants')
    .addCommand(createCommand(shell))
    .addCommand(listCommand(shell))
    .addCommand(revokeCommand(shell))
}

interface CreateOptions {
  readonly name: string
  readonly scope: readonly string[]
  readonly expires?: Date
}

function createCommand(shell: Shell): Command {
  return new Command('create')
    .description('make an API key; its secret is shown this once')
    .argument('<tenant>', 'its key or id')
    .requiredOption('--name <text>', 'what its owner calls it')
    .option(
      '--scope <scope>',
      'what it may be used for; can be repeated',
      (scope: string, before: readonly string[]) => [...before, scope],
      [],
    )
    .option('--expires <date>', 'the day, or moment, from which on it is refused: 2027-01-31', parseDate)
    .action(async (tenant: string, { name, scope, expires }: CreateOptions) => {
      const made = await shell.withControlPlane((plane) =>
        plane.apiKeys.create(tenant, {
          name,
          scopes: scope,
          ...(expires === undefined ? {} : { expiresAt: expires }),
        }),
      )
      shell.output.result(made, () =>
        renderFacts([
          ['secret', made.secret],
          ['id', made.key.id],
        ]),
      )
      shell.output.notice('Keep the secret now: it is shown this once, and stored nowhere.')
    })
}

function parseDate(text: string): Date {
  const date = new Date(text)
  if (!/^\d{4}-\d\d-\d\d/.test(text) || Number.isNaN(date.getTime())) {
    throw misuse(`--expires is "${text}", not a date`, 'Write 2027-01-31, or 2027-01-31T12:00:00Z')
  }
  return date
}

const COLUMNS: readonly Column<ApiKeyRecord>[] = [
  { title: 'id', value: ({ id }) => id },
  { title: 'secret', value: ({ prefix }) => `${prefix}…` },
  { title: 'state', value: stateOf },
  { title: 'created', value: ({ createdAt }) => day(createdAt) },
  { title: 'expires', value: ({ expiresAt }) => (expiresAt === undefined ? 'never' : day(expiresAt)) },
  { title: 'scopes', value: ({ scopes }) => scopes.join(' ') || 'none' },
  { title: 'name', value: ({ name }) => name },
]

function stateOf({ revokedAt, expiresAt }: ApiKeyRecord): string {
  if (revokedAt !== undefined) return 'revoked'
  return expiresAt !== undefined && expiresAt.getTime() <= Date.now() ? 'expired' : 'valid'
}

function listCommand(shell: Shell): Command {
  return new Command('list')
    .description('list the API keys of a tenant, revoked and expired ones too')
    .argument('<tenant>', 'its key or id')
    .action(async (tenant: string) => {
      const { output } = shell
      const keys = await shell.withControlPlane(({ apiKeys }) => apiKeys.list(tenant))
      output.result({ keys }, () =>
        keys.length === 0
          ? `There are no API keys yet: tenantry api-keys create ${tenant} --name import`
          : renderTable(COLUMNS, keys, output),
      )
    })
}

function revokeCommand(shell: Shell): Command {
  return new Command('revoke')
    .description('refuse an API key from now on, everywhere within a second')
    .argument('<id>', 'the id of the key, as `list` shows it; never the secret')
    .action(async (id: string) => {
      const key = await shell.withControlPlane(({ apiKeys }) => apiKeys.revoke(id))
      shell.output.result({ key }, () => `Revoked ${key.prefix}… (${key.name}).`)
    })
}
