/** `tenantry domains`: domains of tenants' own. */
import { Command } from 'commander'
import type { TenantDomain } from '../../lifecycle/domains.ts'
import type { Shell } from '../shell.ts'
import { type Column, day, renderFacts, renderTable } from '../table.ts'

export function domainsCommand(shell: Shell): Command {
  return new Command('domains')
    .description('claim, verify, list and remove domains of tenants’ own')
    .addCommand(addCommand(shell))
    .addCommand(verifyCommand(shell))
    .addCommand(listCommand(shell))
    .addCommand(removeCommand(shell))
    .addCommand(recheckCommand(shell))
}

const TENANT = 'its key, a former key that still resolves, or its id'

function addCommand(shell: Shell): Command {
  return new Command('add')
    .description('claim a domain for a tenant, and show the DNS record that proves it')
    .argument('<tenant>', TENANT)
    .argument('<domain>', 'one host name: shop.acme.com')
    .action(async (tenant: string, name: string) => {
      const domain = await shell.withControlPlane(({ domains }) => domains.add(tenant, name))
      const { type, name: recordName, value } = domain.record
      shell.output.result({ domain }, () =>
        renderFacts([
          ['domain', domain.domain],
          ['record', `${recordName} ${type} ${value}`],
          ['next', `publish the record, then: tenantry domains verify ${domain.domain}`],
        ]),
      )
    })
}

function verifyCommand(shell: Shell): Command {
  return new Command('verify')
    .description('ask the DNS; from then on the domain names the tenant whose record is there')
    .argument('<domain>', 'a domain that was claimed')
    .option('--tenant <tenant>', 'whose claim is meant, where several tenants claim it')
    .action(async (name: string, { tenant }: { tenant?: string }) => {
      const { domain, key } = await shell.withControlPlane(async ({ domains, tenants }) => {
        const verified = await domains.verify(tenant === undefined ? name : { tenant, domain: name })
        return { domain: verified, key: (await tenants.get(verified.tenantId)).key }
      })
      shell.output.result(
        { domain },
        () => `Verified: ${domain.domain} names ${key}. Leave the record in the DNS.`,
      )
    })
}

const COLUMNS: readonly Column<TenantDomain>[] = [
  { title: 'domain', value: ({ domain }) => domain },
  { title: 'state', value: stateOf },
  { title: 'since', value: ({ verifiedAt, createdAt }) => day(verifiedAt ?? createdAt) },
  { title: 'checked', value: ({ checkedAt }) => (checkedAt === undefined ? 'never' : day(checkedAt)) },
  { title: 'record', value: ({ record }) => `${record.name} ${record.type} ${record.value}` },
]

function stateOf({ verifiedAt, missingSince }: TenantDomain): string {
  if (verifiedAt === undefined) return 'claimed'
  return missingSince === undefined ? 'verified' : 'record missing'
}

function listCommand(shell: Shell): Command {
  return new Command('list')
    .description('list the domains of a tenant, and what proves them')
    .argument('<tenant>', TENANT)
    .action(async (tenant: string) => {
      const { output } = shell
      const domains = await shell.withControlPlane((plane) => plane.domains.list(tenant))
      output.result({ domains }, () =>
        domains.length === 0
          ? `There are no domains yet: tenantry domains add ${tenant} shop.example.com`
          : renderTable(COLUMNS, domains, output),
      )
    })
}

function removeCommand(shell: Shell): Command {
  return new Command('remove')
    .description('give a domain up: it names the tenant no more')
    .argument('<tenant>', TENANT)
    .argument('<domain>', 'a domain that it has, or claims')
    .action(async (tenant: string, name: string) => {
      await shell.withControlPlane(({ domains }) => domains.remove(tenant, name))
      shell.output.result({ removed: name }, () => `Removed ${name}.`)
    })
}

function recheckCommand(shell: Shell): Command {
  return new Command('recheck')
    .description(
      'ask the DNS about verified domains again; those whose record is gone for three days are lost',
    )
    .action(async () => {
      const { output } = shell
      const report = await shell.withControlPlane(({ domains }) => domains.recheck())
      const { kept, missing, lost, unknown } = report
      output.result(
        report,
        () =>
          `Kept ${kept}; record missing: ${missing.length}; lost: ${lost.length}; no answer: ${unknown.length}.`,
      )
      if (missing.length > 0) output.notice(`Record missing: ${missing.join(', ')}`)
      if (lost.length > 0) output.notice(`Lost: ${lost.join(', ')}`)
    })
}
