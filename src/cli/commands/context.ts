/** `tenantry context`: changes the key that tenants' contexts are proven with. */
import { Command } from 'commander'
import { misuse } from '../failure.ts'
import type { Shell } from '../shell.ts'

export function contextCommand(shell: Shell): Command {
  return new Command('context')
    .description('change the key that tenants’ contexts are proven with')
    .addCommand(rotateCommand(shell))
    .addCommand(retireCommand(shell))
}

function rotateCommand(shell: Shell): Command {
  return new Command('rotate')
    .description('make a new key and new proofs; those before it hold until they are retired')
    .action(async () => {
      const key = await shell.withControlPlane((plane) => plane.context.rotateKey())
      shell.output.result(
        { key },
        () => `Key ${key} is in use. Later: tenantry context retire --older-than 3600`,
      )
    })
}

function retireCommand(shell: Shell): Command {
  return new Command('retire')
    .description('let proofs of the key before the last rotation hold no longer')
    .option('--older-than <seconds>', 'only if the last rotation is so long ago', '3600')
    .action(async ({ olderThan }: { olderThan: string }) => {
      if (!/^\d{1,9}$/.test(olderThan)) {
        throw misuse(`--older-than is "${olderThan}", not a whole number of seconds`)
      }
      const retired = await shell.withControlPlane((plane) =>
        plane.context.retireKeys({ olderThanMs: Number(olderThan) * 1_000 }),
      )
      shell.output.result({ retired }, () =>
        retired === 0
          ? 'Nothing to retire: no rotation, or none that is so long ago.'
          : `Retired the former proofs of ${retired} tenants.`,
      )
    })
}
