/** `tenantry migrate`: everything about migrations of the fleet; a file for each subcommand. */
import { Command } from 'commander'
import type { Shell } from '../shell.ts'
import { diffCommand } from './migrate/diff.ts'
import { statusCommand } from './migrate/status.ts'
import { upCommand } from './migrate/up.ts'

export function migrateCommand(shell: Shell): Command {
  return new Command('migrate')
    .description('run and look at migrations')
    .addCommand(upCommand(shell))
    .addCommand(statusCommand(shell))
    .addCommand(diffCommand(shell))
}
