/** A proof for people at a terminal: the tiers, each case, and what got through with the rows seen. */
import { placeOf } from '../isolation/lint/finding.ts'
import { compareCases } from '../prove/cases.ts'
import type { ProofCase, ProofReport, ProofTier } from '../prove/report.ts'
import { remarksOn } from '../prove/report-html.ts'
import { clean } from './clean-text.ts'
import type { Output } from './output.ts'
import { type Column, renderTable } from './table.ts'

const TIERS: readonly Column<ProofTier>[] = [
  { title: 'model', value: ({ model }) => model },
  { title: 'tier', value: ({ tier }) => tier },
  { title: 'achieved', value: ({ achieved }) => achieved },
  { title: 'enforced by', value: ({ enforcement }) => enforcement },
  { title: 'tenants', value: ({ tenants }) => tenants },
  { title: 'remarks', value: (tier) => remarksOn(tier).join('; ') },
]

/** One case over all kinds. */
interface Line {
  readonly threat: string
  readonly title: string
  readonly failed: readonly ProofCase[]
  readonly attacks: number
}

/** The report as lines. */
export function renderProof(report: ProofReport, output: Output): string {
  const lines = linesOf(report.cases)
  const columns: readonly Column<Line>[] = [
    { title: 'case', value: ({ threat }) => threat },
    { title: '', value: ({ failed }) => (failed.length === 0 ? 'passed' : 'FAILED') },
    { title: 'attacks', value: ({ attacks }) => attacks },
    { title: 'what', value: ({ title }) => title },
  ]
  return [
    renderTable(TIERS, report.tiers, output),
    '',
    renderTable(columns, lines, output),
    ...breaches(report.cases, output),
    ...lint(report, output),
    ...notes(report, output),
    '',
    summary(report, output),
  ].join('\n')
}

function linesOf(cases: readonly ProofCase[]): Line[] {
  return [...Map.groupBy(cases, (each) => each.case)]
    .toSorted(([one], [other]) => compareCases(one, other))
    .map(([threat, all]) => ({
      threat,
      title: all[0]?.title ?? '',
      failed: all.filter(({ outcome }) => outcome === 'failed'),
      attacks: all.reduce((sum, { attacks }) => sum + attacks, 0),
    }))
}

function breaches(cases: readonly ProofCase[], output: Output): string[] {
  return cases.flatMap((each) =>
    each.breaches.flatMap(({ attack, way, statement, harm, seen }) => [
      '',
      output.style('red', `${each.case} ${harm}: ${each.model}, ${each.tier}; ${attack}, by ${way}`),
      `  ${clean(statement)}`,
      ...seen.map((text) => `  seen: ${clean(text)}`),
    ]),
  )
}

const COLOURS = { error: 'red', warning: 'yellow', advice: 'dim' } as const

function lint({ lint: findings }: ProofReport, output: Output): string[] {
  return findings.flatMap((finding, index) => [
    ...(index === 0 ? [''] : []),
    `${output.style(COLOURS[finding.severity], finding.severity.padEnd(7))}  ${clean(placeOf(finding))}: ${clean(finding.reason)}`,
    output.style('dim', `         ${clean(finding.wayOut)}`),
  ])
}

function notes({ skipped, warnings, left }: ProofReport, output: Output): string[] {
  const all = [
    ...skipped.map(({ model, tier, reason }) =>
      output.style('yellow', `not proven: ${model}, ${tier}: ${clean(reason)}`),
    ),
    ...warnings.map((text) => output.style('yellow', `warning: ${clean(text)}`)),
    ...left.map((text) => output.style('red', `not removed: ${clean(text)}`)),
  ]
  return all.length === 0 ? [] : ['', ...all]
}

function summary(
  { ok, passed, failed, attacks, lint: findings, tiers }: ProofReport,
  output: Output,
): string {
  const errors = findings.filter(({ severity }) => severity === 'error').length
  const words = `${attacks} attacks on ${tiers.length} ${tiers.length === 1 ? 'kind' : 'kinds'} of tenants: ${passed} cases passed, ${failed} failed${errors > 0 ? `; ${errors} ${errors === 1 ? 'error' : 'errors'} in tables, functions or rights` : ''}.`
  return output.style(ok ? 'green' : 'red', words)
}
