/** `tenantry doctor`: what this server allows, what is wrong, and what to do about it. */
import { Command } from 'commander'
import type { Check } from '../check.ts'
import { clean } from '../clean-text.ts'
import { diagnose } from '../diagnose.ts'
import type { Output } from '../output.ts'
import type { Shell } from '../shell.ts'

export function doctorCommand(shell: Shell): Command {
  return new Command('doctor')
    .description('check connections, logins, isolation, catalog and migrations; changes nothing')
    .addHelpText('after', '\nExits with 1 if a check fails; warnings alone leave 0.')
    .action(async () => {
      const { output } = shell
      const checks = await diagnose(await shell.project())
      const ok = checks.every(({ status }) => status !== 'fail')
      output.result({ ok, checks }, () => render(checks, output))
      if (!ok) shell.exitCode = 1
    })
}

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const

function render(checks: readonly Check[], output: Output): string {
  const width = Math.max(...checks.map(({ name }) => name.length))
  const indent = ' '.repeat(6 + width + 2)
  const lines = checks.flatMap(({ name, status, found, advice }) => [
    `${output.style(COLOURS[status], status.padEnd(4))}  ${name.padEnd(width)}  ${clean(found)}`,
    ...(advice === undefined ? [] : [output.style('dim', `${indent}${clean(advice)}`)]),
  ])
  return [...lines, '', summarize(checks)].join('\n')
}

function summarize(checks: readonly Check[]): string {
  const count = (status: Check['status']): number => checks.filter((check) => check.status === status).length
  const [warnings, failures] = [count('warn'), count('fail')]
  if (warnings + failures === 0) return 'All is well.'
  return `${failures} failed, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}.`
}
