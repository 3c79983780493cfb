/** The proof as one page that needs nothing else: no scripts, no addresses, everything in it escaped (C2). */
import { placeOf } from '../isolation/lint/finding.ts'
import type { Breach, ProofCase, ProofReport, ProofTier } from './report.ts'
import { compareCases } from './cases.ts'

/** Nothing is loaded, nothing runs; only the page's own style holds. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2433; --soft: #5b6478; --paper: #fff; --line: #dfe3eb; --good: #11734b;
  --bad: #b3261e; --wash: #f5f7fa; --bad-wash: #fdecea }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8f0; --soft: #9aa4b8; --paper: #141820; --line: #2c3342;
  --good: #5ccf9b; --bad: #ff8a80; --wash: #1b202b; --bad-wash: #3a1f1f } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 0 .25rem } h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem }
p { margin: .25rem 0 } .soft { color: var(--soft) } .good { color: var(--good) } .bad { color: var(--bad) }
.verdict { font-size: 1.15rem; font-weight: 600 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .92rem }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-weight: 600; white-space: nowrap } td.number { text-align: right; font-variant-numeric: tabular-nums }
code, pre { font: .86rem/1.45 ui-monospace, monospace; overflow-wrap: anywhere }
pre { background: var(--wash); padding: .6rem .75rem; border-radius: .4rem; white-space: pre-wrap; margin: .4rem 0 }
section.breach { border-left: 3px solid var(--bad); background: var(--bad-wash); padding: .6rem .9rem; margin: .75rem 0; border-radius: 0 .4rem .4rem 0 }
section.breach pre { background: none; padding: 0 }`

/** The page, complete. */
export function toHtml(report: ProofReport): string {
  const { ok, passed, failed, attacks, server, startedAt, tookMs } = report
  const verdict = ok
    ? '<p class="verdict good">Every wall held.</p>'
    : `<p class="verdict bad">${failed === 0 ? 'The attacks failed, and there is more to do.' : `${failed} of ${passed + failed} cases failed.`}</p>`
  const body = [
    `<h1>Proof of isolation</h1>`,
    verdict,
    `<p class="soft">${attacks} attacks in ${passed + failed} cases, on PostgreSQL ${escape(server)}, begun ${escape(startedAt)}, ${(tookMs / 1000).toFixed(1)} s</p>`,
    section('Tiers', tiers(report.tiers)),
    section('What got through', breaches(report.cases)),
    section('Cases', cases(report)),
    section('The user’s own objects', lint(report)),
    section('To be known', notes(report)),
  ]
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escape(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Proof of isolation</title><style>${STYLE}</style></head>
<body>
${body.filter((part) => part !== '').join('\n')}
</body></html>
`
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text as text, in content and in quoted attributes. What a browser does not show, and would turn lines around, is left out. */
function escape(text: string | number): string {
  return String(text)
    .replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\u{fffd}')
    .replaceAll(/[&<>"']/g, (char) => ESCAPES[char] ?? '')
}

function section(title: string, content: string): string {
  return content === '' ? '' : `<h2>${escape(title)}</h2>\n${content}`
}

/** Cells are HTML already. */
function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return ''
  const head = titles.map((title) => `<th>${escape(title)}</th>`).join('')
  const lines = rows.map(
    (cells) =>
      `<tr>${cells.map((cell) => `<td${/^\d+$/.test(cell) ? ' class="number"' : ''}>${cell}</td>`).join('')}</tr>`,
  )
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>\n${lines.join('\n')}\n</tbody></table></div>`
}

function tiers(all: readonly ProofTier[]): string {
  return table(
    ['Model', 'Tier', 'Achieved', 'Enforced by', 'Tenants', 'Remarks'],
    all.map((tier) => [
      escape(tier.model),
      escape(tier.tier),
      mark(tier.achieved === tier.tier, tier.achieved),
      escape(tier.enforcement),
      escape(tier.tenants),
      escape(remarksOn(tier).join('; ')),
    ]),
  )
}

/** What a reader must know beside the two words. */
export function remarksOn({ onlyGuard, open, untouched, tier }: ProofTier): string[] {
  const MOST = 3
  const rest = open.length > MOST ? `, and ${open.length - MOST} more` : ''
  return [
    ...(untouched ? [] : ['the attacked tenant’s rows were changed']),
    ...(onlyGuard.length === 0
      ? []
      : [
          `${tier === 'sealed' ? 'not refused by the server' : 'refused by the guard alone'}: ${onlyGuard.join(', ')}`,
        ]),
    ...(open.length === 0 ? [] : [`open to everybody: ${open.slice(0, MOST).join(', ')}${rest}`]),
  ]
}

function mark(good: boolean, text: string): string {
  return `<span class="${good ? 'good' : 'bad'}">${escape(text)}</span>`
}

function breaches(all: readonly ProofCase[]): string {
  return all.flatMap((each) => each.breaches.map((breach) => breachOf(each, breach))).join('\n')
}

function breachOf(of: ProofCase, { attack, way, statement, harm, seen }: Breach): string {
  return `<section class="breach"><p><b>${escape(of.case)}</b> ${escape(of.title)} <span class="soft">${escape(`${of.model}, ${of.tier}; ${attack}, by ${way}; ${harm}`)}</span></p>
<pre>${escape(statement)}</pre><p class="soft">seen:</p><pre>${escape(seen.join('\n'))}</pre></section>`
}

function cases({ cases: all }: ProofReport): string {
  return table(
    ['Case', 'What is attacked', 'Model', 'Tier', 'Outcome', 'Attacks', 'Guard', 'Server', 'No effect'],
    all
      .toSorted((one, other) => compareCases(one.case, other.case))
      .map((each) => [
        escape(each.case),
        escape(each.title),
        escape(each.model),
        escape(each.tier),
        mark(each.outcome === 'passed', each.outcome),
        ...[each.attacks, each.refusedByGuard, each.refusedByDatabase, each.withoutEffect].map(String),
      ]),
  )
}

function lint({ lint: findings }: ProofReport): string {
  return table(
    ['Severity', 'Object', 'Why', 'What to do'],
    findings.map((finding) => [
      mark(finding.severity !== 'error', finding.severity),
      `<code>${escape(placeOf(finding))}</code>`,
      escape(finding.reason),
      escape(finding.wayOut),
    ]),
  )
}

function notes({ skipped, warnings, left }: ProofReport): string {
  const all = [
    ...skipped.map(({ model, tier, reason }) => `Not proven: ${model}, ${tier}: ${reason}`),
    ...warnings,
    ...left.map((what) => `Not removed: ${what}`),
  ]
  return all.map((note) => `<p>${escape(note)}</p>`).join('\n')
}
