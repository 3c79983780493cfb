/** Advice on types and names, given where a column is made. */
import { type Fields, fieldsOf, findNodes, listOf, scanTokens, textOf } from '../../shared-form/sql-nodes.ts'
import { constraintsOf, isSerial } from '../locks/added-column.ts'
import { alterCommands, type LintedStatement, type MigrationRule, type Problem } from '../migration-rule.ts'
import { typeText } from '../type-names.ts'

function onColumn(
  name: MigrationRule['name'],
  find: (column: Fields, statement: LintedStatement) => boolean,
  problem: (column: string) => Problem,
): MigrationRule {
  return {
    name,
    level: 'advice',
    check: (statement) =>
      columnsOf(statement)
        .filter((column) => find(column, statement))
        .map((column) => problem(textOf(column['colname']))),
  }
}

/** PostgreSQL cuts longer names off. */
const MOST_BYTES = 63

/** What costs a migration of every tenant later. */
export const TYPE_RULES: readonly MigrationRule[] = [
  onColumn('int-key', isSmallKey, (column) => ({
    reason: `${column} ends at 2,147,483,647 at most, and a larger type writes the table anew. In shared tables all tenants draw from one sequence.`,
    wayOut: 'bigint',
  })),
  onColumn('serial-column', isSerial, (column) => ({
    reason: `The sequence behind ${column} has rights and a name of its own, and an INSERT with a value goes past it.`,
    wayOut: 'bigint GENERATED ALWAYS AS IDENTITY',
  })),
  onColumn(
    'json-column',
    (column) => /^json(\[\])?$/.test(typeOf(column)),
    (column) => ({
      reason: `json has no equality: SELECT DISTINCT and GROUP BY with ${column} fail, in queries that worked before it was there.`,
      wayOut: 'jsonb',
    }),
  ),
  onColumn(
    'char-column',
    (column) => /^char\b/.test(typeOf(column)),
    (column) => ({
      reason: `${column} is filled up with blanks that comparisons ignore; it is neither smaller nor faster.`,
      wayOut: 'text, with a CHECK on its length where there is one',
    }),
  ),
  onColumn(
    'timestamp-without-zone',
    (column) => /^timestamp(\(\d\))?(\[\])?$/.test(typeOf(column)),
    (column) => ({
      reason: `${column} means another moment in each session's time zone.`,
      wayOut: 'timestamptz',
    }),
  ),
  {
    name: 'identifier-too-long',
    level: 'warning',
    check: ({ text, inside }) =>
      (inside === undefined && mayHoldLongName(text) ? scanTokens(text) : [])
        .map((token) => token.text)
        .filter((word) => /^["a-z_\u0080-\uffff]/i.test(word) && isTooLong(word))
        .map((word) => ({
          reason: `PostgreSQL cuts ${word} off after ${MOST_BYTES} bytes, where it may meet another name.`,
          wayOut: 'A shorter name',
        })),
  },
]

/** Asked before the scanner, which takes longer: strings and comments count too. */
function mayHoldLongName(text: string): boolean {
  return (text.match(/[\w$\u0080-\uffff]+|"[^"]+"/g) ?? []).some(isTooLong)
}

function isTooLong(word: string): boolean {
  return Buffer.byteLength(word.replaceAll('"', '')) > MOST_BYTES
}

/** Columns that a statement makes, or gives another type. */
function columnsOf(statement: LintedStatement): readonly Fields[] {
  const made = listOf(statement.node === 'CreateStmt' ? statement.fields['tableElts'] : []).map((each) =>
    fieldsOf(each, 'ColumnDef'),
  )
  const changed = alterCommands(statement)
    .filter(({ kind }) => kind === 'AT_AddColumn' || kind === 'AT_AlterColumnType')
    .map(({ column, name }) => (column === undefined || name === '' ? column : { ...column, colname: name }))
  return [...made, ...changed].filter((column) => column !== undefined)
}

function typeOf(column: Fields): string {
  return typeText(fieldsOf(column, 'typeName'))
}

function isSmallKey(column: Fields, { fields }: LintedStatement): boolean {
  if (!/^(smallint|integer|(small)?serial[24]?)$/.test(typeOf(column))) return false
  const name = textOf(column['colname'])
  const keys = findNodes(fields, 'Constraint').filter(
    ({ contype, keys: listed }) => contype === 'CONSTR_PRIMARY' && listed !== undefined,
  )
  const alone = keys.some(
    ({ keys: listed }) =>
      listOf(listed).length === 1 && textOf(fieldsOf(listOf(listed)[0], 'String')?.['sval']) === name,
  )
  return (
    alone ||
    constraintsOf(column).some(({ contype }) => contype === 'CONSTR_PRIMARY' || contype === 'CONSTR_IDENTITY')
  )
}
