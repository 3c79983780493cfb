/** What ADD COLUMN does to the rows that are there: nothing, mostly. */
import { type Fields, fieldsOf, findNodes, listOf, nameParts } from '../../shared-form/sql-nodes.ts'
import { type KnownSchema, ownName } from '../known-schema.ts'
import { functionName } from '../type-names.ts'
import type { Work } from './lock-mode.ts'
import { isVolatileBuiltin } from './volatile-functions.ts'

/** Why the table is written anew: each is a rule of its own. */
export type RewriteCause = 'default' | 'identity' | 'generated' | 'domain'

/** What adding a column costs. */
export interface AddedColumnWork {
  readonly work: Work
  readonly note?: string | undefined
}

/** The work of `ADD COLUMN`, by its definition. */
export function addedColumnWork(known: KnownSchema, column: Fields): AddedColumnWork {
  if (rewriteCause(known, column) !== undefined) return { work: 'rewrite' }
  const kinds = constraintsOf(column)
  if (kinds.some(({ contype }) => contype === 'CONSTR_PRIMARY' || contype === 'CONSTR_UNIQUE'))
    return { work: 'index' }
  if (kinds.some(({ contype, is_enforced: enforced }) => contype === 'CONSTR_CHECK' && enforced === true))
    return { work: 'scan' }
  const virtual = kinds.some(
    ({ contype, generated_kind: kind }) => contype === 'CONSTR_GENERATED' && kind !== 's',
  )
  if (
    kinds.some(({ contype }) => contype === 'CONSTR_NOTNULL') &&
    (virtual || defaultOf(column) === undefined)
  ) {
    return { work: 'scan' }
  }
  // Rows that get a value by the default have it looked up; where it is null there is nothing to look up.
  if (kinds.some(({ contype }) => contype === 'CONSTR_FOREIGN') && defaultOf(column) !== undefined)
    return { work: 'scan' }
  return { work: 'brief' }
}

/** Why adding the column writes the table anew, if it does. */
export function rewriteCause(known: KnownSchema, column: Fields): RewriteCause | undefined {
  const constraints = constraintsOf(column)
  if (isSerial(column) || constraints.some(({ contype }) => contype === 'CONSTR_IDENTITY')) return 'identity'
  if (constraints.some(({ contype, generated_kind: kind }) => contype === 'CONSTR_GENERATED' && kind === 's'))
    return 'generated'
  const type = ownName(known, nameParts(fieldsOf(column, 'typeName')?.['names']))
  if (known.types.get(type)?.checked === true) return 'domain'
  return isVolatile(known, defaultOf(column)) ? 'default' : undefined
}

/** `serial` and its like, which are no types but a sequence and a default. */
export function isSerial(column: Fields): boolean {
  return /^(small|big)?serial[248]?$/.test(nameParts(fieldsOf(column, 'typeName')?.['names']).at(-1) ?? '')
}

/** The expression of a column's DEFAULT; `undefined` for none, and for NULL. */
export function defaultOf(column: Fields): unknown {
  const expression = constraintsOf(column).find(({ contype }) => contype === 'CONSTR_DEFAULT')?.['raw_expr']
  const constant = fieldsOf(fieldsOf(expression, 'TypeCast')?.['arg'] ?? expression, 'A_Const')
  return constant?.['isnull'] === true ? undefined : expression
}

/** A column's own constraints. */
export function constraintsOf(column: Fields): readonly Fields[] {
  return listOf(column['constraints']).map((each) => fieldsOf(each, 'Constraint') ?? {})
}

/** Whether each row would get a value of its own: a function of the migrations' own is as it says, others by their names. */
function isVolatile(known: KnownSchema, expression: unknown): boolean {
  return findNodes(expression, 'FuncCall').some((call) => {
    const own = known.functions.get(ownName(known, nameParts(call['funcname'])))
    return own?.volatile ?? isVolatileBuiltin(functionName(call))
  })
}
