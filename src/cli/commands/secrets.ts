/** `tenantry secrets`: the master keys behind sealed tenants' logins. */
import { Command } from 'commander'
import type { Shell } from '../shell.ts'
import { renderTable } from '../table.ts'

export function secretsCommand(shell: Shell): Command {
  return new Command('secrets')
    .description('look at and rotate the secrets of sealed tenants’ logins')
    .addCommand(statusCommand(shell))
    .addCommand(rotateCommand(shell))
}

function statusCommand(shell: Shell): Command {
  return new Command('status')
    .description('show which master keys secrets come from; of a key only its id')
    .action(async () => {
      const { output } = shell
      const keys = await shell.withControlPlane(({ secrets }) => secrets.status())
      output.result({ keys }, () =>
        renderTable(
          [
            { title: 'master key', value: ({ id }) => id },
            { title: 'tenants', value: ({ tenants }) => tenants },
            {
              title: 'here',
              value: ({ known, newest }) => (newest ? 'newest' : known ? 'former' : 'missing'),
            },
          ],
          keys,
          output,
        ),
      )
    })
}

function rotateCommand(shell: Shell): Command {
  return new Command('rotate')
    .description('give every sealed tenant a secret of the newest master key; they are served meanwhile')
    .addHelpText(
      'after',
      `
Every process must know both keys before: TENANTRY_MASTER_KEY=<new>,<former>
Ended early, it is completed by running it again.`,
    )
    .action(async () => {
      const { output } = shell
      const rotation = await shell.withControlPlane(({ secrets }) =>
        secrets.rotate({
          onProgress: (done, total) => output.progress(`rotated ${done} of ${total}`),
        }),
      )
      const { key, rotated, left } = rotation
      output.result(rotation, () => `Rotated ${rotated}: secrets come from the master key ${key}.`)
      if (left.length === 0) return
      output.notice(
        `Left ${left.length}, which another process works on or whose role is gone: ${left.slice(0, 10).join(', ')}`,
      )
      shell.exitCode = 1
    })
}
