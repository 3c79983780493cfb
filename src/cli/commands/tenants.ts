/** `tenantry tenants`: creates, shows, renames, suspends and deletes tenants. */
import { existsSync } from 'node:fs'
import { Command, Option } from 'commander'
import { folderOf } from '../../core/config.ts'
import { TenantryError } from '../../core/errors.ts'
import {
  type Home,
  requireNewKey,
  type Settings,
  type Tenant,
  type TenantModel,
  type TenantStatus,
  type TenantTier,
} from '../../core/tenant.ts'
import type { Enforcement } from '../../isolation/open-rights.ts'
import { ask, canAsk } from '../ask.ts'
import { misuse } from '../failure.ts'
import type { Shell } from '../shell.ts'
import { type Column, day, renderFacts, renderTable } from '../table.ts'

const MODELS: readonly TenantModel[] = ['shared', 'schema', 'database']
const TIERS: readonly TenantTier[] = ['guarded', 'sealed']
const STATUSES: readonly TenantStatus[] = ['provisioning', 'active', 'suspended', 'moving', 'archived']

/** The most that one look-up of the control plane gives. */
const PAGE = 1_000

export function tenantsCommand(shell: Shell): Command {
  return new Command('tenants')
    .description('create, show, rename, suspend and delete tenants')
    .addCommand(createCommand(shell))
    .addCommand(listCommand(shell))
    .addCommand(showCommand(shell))
    .addCommand(renameCommand(shell))
    .addCommand(suspendCommand(shell))
    .addCommand(resumeCommand(shell))
    .addCommand(deleteCommand(shell))
}

interface CreateOptions {
  readonly name?: string
  readonly plan?: string
  readonly id?: string
  readonly settings?: string
  readonly model?: TenantModel
  readonly tier?: TenantTier
}

function createCommand(shell: Shell): Command {
  return new Command('create')
    .description(
      'make a tenant: its home, roles, tables, first rows; goes on where an earlier attempt stopped',
    )
    .argument('<key>', 'its name in addresses: a-z, 0-9 and single hyphens between, at most 48 characters')
    .option('--name <text>', 'the display name (default: the key)')
    .option('--plan <plan>', 'the plan (default: "default")')
    .option('--id <id>', 'an id of your own (default: a new uuid)')
    .option('--settings <json>', 'a JSON object for your application')
    .addOption(new Option('--model <model>', 'where its rows will be (default: "schema")').choices(MODELS))
    .addOption(
      new Option(
        '--tier <tier>',
        'sealed: a login of its own, from TENANTRY_MASTER_KEY (default: "guarded", of databases "sealed")',
      ).choices(TIERS),
    )
    .addHelpText(
      'after',
      `\nExample:\n  $ tenantry tenants create acme --name 'Acme Inc.' --settings '{"locale":"en"}'`,
    )
    .action(async (key: string, options: CreateOptions) => {
      requireNewKey(key)
      const settings = options.settings === undefined ? undefined : parseSettings(options.settings)
      const tenant = await shell.withControlPlane((plane) =>
        plane.tenants.create({
          key,
          ...(options.name === undefined ? {} : { name: options.name }),
          ...(options.plan === undefined ? {} : { plan: options.plan }),
          ...(options.id === undefined ? {} : { id: options.id }),
          ...(settings === undefined ? {} : { settings }),
          ...(options.model === undefined ? {} : { model: options.model }),
          ...(options.tier === undefined ? {} : { tier: options.tier }),
          onStep: (step, done, total) => shell.output.progress(`${key}: ${step} (${done} of ${total})`),
        }),
      )
      const { migrations } = await shell.project()
      if (!existsSync(folderOf(migrations.tenant))) {
        shell.output.notice(
          `There is no folder ${folderOf(migrations.tenant)}: the tenant has no tables yet.`,
        )
      }
      report(shell, tenant, `Created ${tenant.key}: ${placeOf(tenant.home)}, id ${tenant.id}.`)
    })
}

/** Where the rows are, in the words that PostgreSQL's own tools take. */
function placeOf({ model, tier, database, schema }: Home): string {
  const place = database === undefined ? `schema ${schema}` : `database ${database}`
  const sharing = model === 'shared' ? `shared tables of ${place}` : place
  return tier === 'sealed' ? `sealed, ${sharing}` : sharing
}

function parseSettings(text: string): Settings {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw misuse(
      `--settings is no JSON: ${(error as Error).message}`,
      `Quote it for the shell: --settings '{"locale":"en"}'`,
    )
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw misuse('--settings is no JSON object')
  return value as Settings
}

interface ListOptions {
  readonly status?: TenantStatus
  readonly limit?: number
  readonly after?: string
}

const COLUMNS: readonly Column<Tenant>[] = [
  { title: 'key', value: ({ key }) => key },
  { title: 'status', value: ({ status }) => status },
  { title: 'plan', value: ({ plan }) => plan },
  { title: 'model', value: ({ home }) => home.model },
  { title: 'tier', value: ({ home }) => home.tier },
  { title: 'home', value: ({ home }) => home.database ?? home.schema },
  { title: 'created', value: ({ createdAt }) => day(createdAt) },
  { title: 'name', value: ({ name }) => name },
]

function listCommand(shell: Shell): Command {
  return new Command('list')
    .description('list tenants in the order of their keys')
    .addOption(new Option('--status <status>', 'only those of this status').choices(STATUSES))
    .option('--limit <count>', 'at most so many (default: all)', parseCount)
    .option('--after <key>', 'only keys after this one')
    .action(async (options: ListOptions) => {
      const { output } = shell
      const tenants = await shell.withControlPlane(async (plane) => {
        const limit = options.limit ?? Number.POSITIVE_INFINITY
        const all: Tenant[] = []
        for (let after = options.after; ;) {
          const page = await plane.tenants.list({
            limit: Math.min(PAGE, limit - all.length),
            ...(options.status === undefined ? {} : { status: options.status }),
            ...(after === undefined ? {} : { after }),
          })
          all.push(...page)
          after = page.at(-1)?.key
          if (page.length < PAGE || all.length >= limit) return all
          output.progress(`${all.length} tenants so far`)
        }
      })
      output.result({ tenants }, () =>
        tenants.length === 0
          ? 'There are no tenants yet: tenantry tenants create acme'
          : renderTable(COLUMNS, tenants, output),
      )
    })
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw misuse(`--limit is "${text}", not a whole number from 1 on`)
  return Number(text)
}

function showCommand(shell: Shell): Command {
  return new Command('show')
    .description('show one tenant')
    .argument('<tenant>', 'its key, a former key that still resolves, or its id')
    .action(async (name: string) => {
      const { tenant, enforcement } = await shell.withControlPlane(async (plane) => ({
        tenant: await plane.tenants.get(name),
        // A home that is gone or half made has none, and is what people come to see.
        enforcement: await plane.tenants.enforcement(name).catch(() => undefined),
      }))
      shell.output.result({ tenant, ...(enforcement === undefined ? {} : { enforcement }) }, () =>
        renderFacts(factsOf(tenant, enforcement)),
      )
    })
}

function factsOf(tenant: Tenant, enforcement: Enforcement | undefined): [string, string][] {
  return [
    ['key', tenant.key],
    ['aliases', tenant.aliases.join(', ') || 'none'],
    ['name', tenant.name],
    ['id', tenant.id],
    [
      'status',
      tenant.statusReason === undefined ? tenant.status : `${tenant.status}: ${tenant.statusReason}`,
    ],
    ['plan', tenant.plan],
    ['settings', JSON.stringify(tenant.settings)],
    ['model', tenant.home.model],
    ['tier', tenant.home.tier],
    ...(tenant.home.keyId === undefined ? [] : [['master key', tenant.home.keyId] as [string, string]]),
    ['enforcement', enforcement ?? 'unknown: its home cannot be read'],
    ...(tenant.home.database === undefined ? [] : [['database', tenant.home.database] as [string, string]]),
    ['schema', tenant.home.schema],
    ['role', tenant.home.role],
    ['owner role', tenant.home.ownerRole],
    ['epoch', String(tenant.home.epoch)],
    ['created', tenant.createdAt.toISOString()],
  ]
}

function renameCommand(shell: Shell): Command {
  return new Command('rename')
    .description('give a tenant another key, another display name, or both; its schema stays')
    .argument('<tenant>', 'its key or id')
    .option('--to <key>', 'the new key')
    .option('--name <text>', 'the new display name')
    .option('--no-alias', 'the old key stops resolving at once')
    .action(async (name: string, options: { to?: string; name?: string; alias: boolean }) => {
      if (options.to === undefined && options.name === undefined) {
        throw misuse('rename needs --to, --name or both', 'tenantry tenants rename acme --to acme-corp')
      }
      if (options.to !== undefined) requireNewKey(options.to)
      const tenant = await shell.withControlPlane((plane) =>
        plane.tenants.rename(name, {
          ...(options.to === undefined ? {} : { key: options.to }),
          ...(options.name === undefined ? {} : { name: options.name }),
          keepAlias: options.alias,
        }),
      )
      const old =
        options.to !== undefined && tenant.aliases.length > 0
          ? ` (${tenant.aliases.join(', ')} still resolves)`
          : ''
      report(shell, tenant, `Renamed: key ${tenant.key}${old}, name ${tenant.name}.`)
    })
}

function suspendCommand(shell: Shell): Command {
  return new Command('suspend')
    .description('serve a tenant no more until it is resumed; its rows stay')
    .argument('<tenant>', 'its key or id')
    .option('--reason <text>', 'why, for the audit and for its own users')
    .action(async (name: string, { reason }: { reason?: string }) => {
      const tenant = await shell.withControlPlane((plane) =>
        plane.tenants.suspend(name, reason === undefined ? {} : { reason }),
      )
      report(
        shell,
        tenant,
        `Suspended ${tenant.key}. To serve it again: tenantry tenants resume ${tenant.key}`,
      )
    })
}

function resumeCommand(shell: Shell): Command {
  return new Command('resume')
    .description('serve a suspended tenant again')
    .argument('<tenant>', 'its key or id')
    .action(async (name: string) => {
      const tenant = await shell.withControlPlane((plane) => plane.tenants.resume(name))
      report(shell, tenant, `Resumed ${tenant.key}.`)
    })
}

function deleteCommand(shell: Shell): Command {
  return new Command('delete')
    .description('delete a tenant and all its rows, for ever')
    .argument('<tenant>', 'its key or id')
    .option('--confirm <key>', 'its key again; asked for on a terminal')
    .action(async (name: string, options: { confirm?: string }) => {
      const { output } = shell
      const asks = options.confirm === undefined && !output.json && canAsk()
      if (options.confirm === undefined && !asks)
        throw new TenantryError('TNY304', { params: { tenant: name } })
      const deleted = await shell.withControlPlane(async ({ tenants }) => {
        const { key } = await tenants.get(name)
        const confirm =
          options.confirm ?? (await ask(`This deletes all rows of "${key}" for ever. Type its key to go on`))
        await tenants.delete(name, { confirm })
        return key
      })
      output.result({ deleted }, () => `Deleted ${deleted}: its home, roles and rows are gone.`)
    })
}

function report(shell: Shell, tenant: Tenant, sentence: string): void {
  shell.output.result({ tenant }, () => sentence)
}
