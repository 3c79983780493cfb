/** `tenantry migrate compile`: makes what new tenants are made from, ahead of the first sign-up. */
import { Command } from 'commander'
import { clean } from '../../clean-text.ts'
import type { Shell } from '../../shell.ts'

export function compileCommand(shell: Shell): Command {
  return new Command('compile')
    .description('compile the tenant migrations for new tenants, or say why these run them all')
    .action(async () => {
      const { output } = shell
      const compiled = await shell.withControlPlane((plane) => plane.migrate.compile())
      output.result(compiled ?? { migrations: 0 }, () => {
        if (compiled === undefined) return 'There is no tenant with a schema of its own, or no migration.'
        const { migrations, statements, refused } = compiled
        return refused === undefined
          ? `New tenants are made by one message of ${statements} statements, instead of ${migrations} migrations.`
          : `New tenants run all ${migrations} migrations: ${clean(refused)}.`
      })
    })
}
