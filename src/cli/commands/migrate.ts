/** `tenantry migrate`: everything about migrations of the fleet; a file for each subcommand. */
import { Command } from 'commander'
import type { Shell } from '../shell.ts'
import { baselineCommand } from './migrate/baseline.ts'
import { downCommand } from './migrate/down.ts'
import { lintCommand } from './migrate/lint.ts'
import { planCommand } from './migrate/plan.ts'
import { compileCommand } from './migrate/compile.ts'
import { diffCommand } from './migrate/diff.ts'
import { statusCommand } from './migrate/status.ts'
import { upCommand } from './migrate/up.ts'

export function migrateCommand(shell: Shell): Command {
  return new Command('migrate')
    .description('run and look at migrations')
    .addCommand(upCommand(shell))
    .addCommand(downCommand(shell))
    .addCommand(planCommand(shell))
    .addCommand(lintCommand(shell))
    .addCommand(statusCommand(shell))
    .addCommand(baselineCommand(shell))
    .addCommand(diffCommand(shell))
    .addCommand(compileCommand(shell))
}
