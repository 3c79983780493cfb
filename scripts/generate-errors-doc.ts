/** docs/reference/errors.md from the registry in src/core/errors.ts (`npm run docs`; `--check` only compares). */
import { ERRORS } from '../src/core/errors.ts'
import type { ErrorDefinition } from '../src/core/errors.ts'
import { cell, putPage } from './generated-page.ts'

/** Where the page is, from the root of the repository. */
export const ERRORS_PAGE = 'docs/reference/errors.md'

/** The first digit of a code says where it comes from. */
const AREAS: Readonly<Record<string, string>> = {
  0: 'Configuration and the local server',
  1: 'Resolution',
  2: 'Isolation and the gateway',
  3: 'Lifecycle',
  4: 'Migrations',
  5: 'Snapshots',
  6: 'Limits',
  7: 'Admin',
}

/** The whole page. */
export function renderErrors(): string {
  const lines = [
    '# Errors',
    '',
    '<!-- Written by scripts/generate-errors-doc.ts from src/core/errors.ts; change it there. -->',
    '',
    'Every error that Tenantry raises on purpose is a `TenantryError` with a `code`. Compare by code: texts may change,',
    'a code never means something else. `status` is what the HTTP adapters answer with, as problem+json.',
    'Words in braces are filled in when the error is raised.',
  ]
  for (const [digit, area] of Object.entries(AREAS)) {
    const codes = Object.entries<ErrorDefinition>(ERRORS).filter(([code]) => code.startsWith(`TNY${digit}`))
    if (codes.length === 0) continue
    lines.push('', `## TNY${digit}xx: ${area}`, '')
    lines.push('| code | status | message | what to do |', '| --- | --- | --- | --- |')
    for (const [code, { status, message, hint }] of codes.sort(([a], [b]) => a.localeCompare(b))) {
      lines.push(
        `| <a id="${code.toLowerCase()}"></a>${code} | ${status} | ${cell(message)} | ${cell(hint)} |`,
      )
    }
  }
  return `${lines.join('\n')}\n`
}

if (import.meta.main) putPage(ERRORS_PAGE, renderErrors())
