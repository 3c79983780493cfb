/** `tenantry migrate lint`: reads migrations with every rule. */
import { Command } from 'commander'
import { openFiles } from '../../../migrate/migration-project.ts'
import { isSameFile, lintFiles, type MigrationLintOptions } from '../../../migrate/plan/fleet-plans.ts'
import { misuse } from '../../failure.ts'
import { migrationFolders, type Shell } from '../../shell.ts'
import { countFindings, showFinding } from './show-findings.ts'

interface LintFlags {
  readonly pending?: boolean
}

export function lintCommand(shell: Shell): Command {
  return new Command('lint')
    .description('read migrations with the rules on locks, running code and tenants; changes nothing')
    .argument('[files...]', 'only these; all of both sets by default')
    .option('--pending', 'only what is to run somewhere, as the database says')
    .addHelpText('after', '\nNeeds no database without --pending. Exits with 1 if it finds an error.')
    .action(async (files: readonly string[], { pending }: LintFlags) => {
      const { output } = shell
      const options: MigrationLintOptions = files.length === 0 ? {} : { files }
      const findings =
        pending === true
          ? await shell.withControlPlane((plane) => plane.migrate.lint({ ...options, pending }))
          : await lintProject(shell, options)
      const ok = findings.every(({ level }) => level !== 'error')
      output.result({ ok, findings }, () =>
        findings.length === 0
          ? 'Nothing found.'
          : [...findings.map((finding) => showFinding(finding, output)), '', countFindings(findings)].join(
              '\n',
            ),
      )
      if (!ok) shell.exitCode = 1
    })
}

/** @throws TNY030 for a file that is no migration: nothing would be found in it. */
async function lintProject(shell: Shell, options: MigrationLintOptions) {
  const project = await shell.project()
  const { lint = {} } = project.config.migrations ?? {}
  const files = openFiles(migrationFolders(project))
  const sets = { shared: await files.readShared(), tenant: await files.readTenant() }
  const all = [...sets.shared, ...sets.tenant]
  const stray = options.files?.find((path) => !all.some(({ file }) => isSameFile(path, file)))
  if (stray !== undefined)
    throw misuse(`there is no migration "${stray}"`, 'Name files of the two folders of migrations.')
  return lintFiles(sets, lint, options)
}
