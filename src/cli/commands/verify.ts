/** `tenantry verify`: looks at the user's own tables, functions and grants for what lets tenants get at each other. */
import { Command } from 'commander'
import { type LintFinding, placeOf } from '../../isolation/lint/finding.ts'
import { clean } from '../clean-text.ts'
import type { Output } from '../output.ts'
import type { Shell } from '../shell.ts'

interface VerifyFlags {
  readonly tenantColumn?: readonly string[]
  readonly allowExtension?: readonly string[]
}

export function verifyCommand(shell: Shell): Command {
  return new Command('verify')
    .description('look for tables, functions and grants of yours that let tenants get at each other')
    .option('--tenant-column <name...>', 'columns that hold a tenant’s id (default: tenant_id)')
    .option('--allow-extension <name...>', 'extensions that you have looked at')
    .addHelpText('after', '\nReads catalogs and changes nothing. Exits with 1 if it finds an error.')
    .action(async ({ tenantColumn, allowExtension }: VerifyFlags) => {
      const { output } = shell
      const findings = await shell.withControlPlane((plane) =>
        plane.verify({
          ...(tenantColumn === undefined ? {} : { tenantColumns: tenantColumn }),
          ...(allowExtension === undefined ? {} : { allowedExtensions: allowExtension }),
        }),
      )
      const ok = findings.every(({ severity }) => severity !== 'error')
      output.result({ ok, findings }, () => render(findings, output))
      if (!ok) shell.exitCode = 1
    })
}

const COLOURS = { error: 'red', warning: 'yellow', advice: 'dim' } as const

/** One block for each finding: what, where, why, and what to do. */
function render(findings: readonly LintFinding[], output: Output): string {
  if (findings.length === 0) return 'Nothing found.'
  const blocks = findings.map((finding) => {
    const { severity, rule, reason, wayOut } = finding
    const where = clean(placeOf(finding))
    return [
      `${output.style(COLOURS[severity], severity.padEnd(7))}  ${where}  ${output.style('dim', rule)}`,
      `         ${clean(reason)}`,
      output.style('dim', `         ${clean(wayOut)}`),
    ].join('\n')
  })
  return [...blocks, '', summarize(findings)].join('\n')
}

function summarize(findings: readonly LintFinding[]): string {
  const count = (severity: LintFinding['severity']): number =>
    findings.filter((finding) => finding.severity === severity).length
  const [errors, warnings] = [count('error'), count('warning')]
  return `${errors} ${errors === 1 ? 'error' : 'errors'}, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}, advice: ${count('advice')}.`
}
