/** `tenantry migrate plan`: what `migrate up` would do, and what it would cost. */
import { Command } from 'commander'
import type { PlanOptions } from '../../../migrate/plan/plan-fleet.ts'
import type {
  MigrationPlan,
  PlannedLock,
  PlannedMigration,
  PlannedStatement,
  TenantCounts,
  VersionGroup,
} from '../../../migrate/plan/migration-plan.ts'
import { clean } from '../../clean-text.ts'
import { toDocument } from '../../failure.ts'
import type { Output } from '../../output.ts'
import type { Shell } from '../../shell.ts'
import { renderTable } from '../../table.ts'
import { readList } from './run-flags.ts'
import { countFindings, showFinding } from './show-findings.ts'

interface PlanFlags {
  readonly only?: string
  readonly sql?: boolean
}

export function planCommand(shell: Shell): Command {
  return new Command('plan')
    .description(
      'show what up would run for whom, the locks that it takes, and what the lint says; changes nothing',
    )
    .option('--only <tenants>', 'only these tenants: keys or ids, with commas')
    .option('--sql', 'whole statements, instead of the beginning of each')
    .addHelpText('after', '\nExits with 1 where up would refuse, or cannot tell what to do for a tenant.')
    .action(async ({ only, sql = false }: PlanFlags) => {
      const { output } = shell
      const options: PlanOptions = only === undefined ? {} : { only: readList('--only', only) }
      const plan = await shell.withControlPlane((plane) => plane.migrate.plan(options))
      const problems = plan.problems.map(({ key, error }) => ({ key, error: toDocument(error) }))
      output.result({ ...plan, problems }, () => render(plan, output, sql))
      for (const { key, error } of plan.problems) output.notice(`${key}: ${error.code}: ${error.message}`)
      if (plan.refused.length > 0 || problems.length > 0) shell.exitCode = 1
    })
}

function render(
  { versions, migrations, repeatable, waves, refused }: MigrationPlan,
  output: Output,
  sql: boolean,
): string {
  const columns = [
    { title: 'version', value: ({ migration }: VersionGroup) => migration ?? '(nothing ran)' },
    { title: 'tenants', value: ({ tenants }: VersionGroup) => tenants },
    { title: 'behind', value: ({ behind }: VersionGroup) => behind },
    { title: 'models', value: ({ models }: VersionGroup) => countsInWords(models) },
    { title: 'such as', value: ({ keys }: VersionGroup) => keys.join(', ') },
  ]
  const findings = migrations.flatMap((migration) => migration.findings)
  return [
    ...(versions.length === 0 ? ['There are no tenants yet.'] : [renderTable(columns, versions, output)]),
    ...(migrations.length + repeatable.length === 0
      ? ['Nothing is to run.']
      : migrations.map((migration) => showMigration(migration, output, sql))),
    ...(repeatable.length === 0
      ? []
      : [
          `run again: ${repeatable.map(({ name, tenants }) => `${clean(name)} (${tenants} ${tenants === 1 ? 'tenant' : 'tenants'})`).join(', ')}`,
        ]),
    ...(waves.length < 2
      ? []
      : [`waves: ${waves.map(({ name, tenants }) => `${clean(name)} (${tenants})`).join(', then ')}`]),
    ...(findings.length === 0 ? [] : [countFindings(findings)]),
    ...(refused.length === 0
      ? []
      : [`migrate up refuses: ${refused.length} of these findings keep it from running.`]),
  ].join('\n\n')
}

function showMigration(migration: PlannedMigration, output: Output, sql: boolean): string {
  const { set, file, tenants, models, statements, findings, perTenant } = migration
  const whom =
    set === 'shared'
      ? 'once'
      : `for ${tenants} ${tenants === 1 ? 'tenant' : 'tenants'}${tenants === 0 ? '' : ` (${countsInWords(models)})`}`
  return [
    `${output.style('bold', clean(file))}  ${whom}${howInWords(migration)}`,
    ...(perTenant ? ['  its code gives each tenant its SQL when it runs'] : []),
    ...statements.flatMap((statement) => showStatement(statement, output, sql)),
    ...findings.map((finding) => showFinding(finding, output, '  ')),
  ].join('\n')
}

function howInWords({ transaction, batch }: PlannedMigration): string {
  if (batch) return ', repeated until it changes no row'
  return transaction ? '' : ', outside of a transaction'
}

/** Most of a line, for the beginning of a statement. */
const BEGINNING = 90

function showStatement(
  { sql, inside, locks }: PlannedStatement,
  { style }: Output,
  whole: boolean,
): string[] {
  const line = clean(sql.replaceAll(/\s+/g, ' '))
  const indent = inside ? '    ' : '  '
  const text = whole
    ? sql.split('\n').map((each) => `${indent}${clean(each)}`)
    : [`${indent}${line.length > BEGINNING ? `${line.slice(0, BEGINNING - 1)}…` : line}`]
  // The block was shown, and what stands in it.
  const shown = whole && inside ? [] : text
  return [
    ...shown,
    ...locks
      .filter(({ mode }) => mode !== 'ACCESS SHARE')
      .map((lock) => style('dim', `${indent}  ${lockInWords(lock)}`)),
  ]
}

const WORK = {
  brief: 'brief',
  rows: 'as long as it takes to change the rows',
  scan: 'while every row is read',
  index: 'while an index is built',
  rewrite: 'while the table is written anew',
} as const

const BLOCKS = {
  nothing: 'requests go on',
  writes: 'writes wait',
  everything: 'reads and writes wait',
} as const

function lockInWords({ table, mode, work, note, blocks, largest }: PlannedLock): string {
  const size =
    largest === undefined
      ? ''
      : `; at most ${bytesInWords(largest.bytes)}, some ${largest.rows.toLocaleString('en')} rows (${clean(largest.tenant)})`
  return `${clean(table)}: ${mode}, ${BLOCKS[blocks]}, ${WORK[work]}${note === undefined ? '' : ` (${note})`}${size}`
}

function bytesInWords(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB']
  const place = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1)
  return `${Number((bytes / 1024 ** place).toPrecision(3))} ${units[place] ?? ''}`
}

function countsInWords(models: TenantCounts): string {
  return Object.entries(models)
    .map(([model, count]) => `${model} ${count}`)
    .join(', ')
}
