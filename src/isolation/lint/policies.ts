/** Policies of the user's own: whether what they compare with can be set by anybody, and what asking costs. */
import type { LintRule } from './finding.ts'

/** Permissive policies that hold for tenants, with both expressions as text. */
const policies = (severity: string, where = 'true'): string => `
  select r.space, r.kind, r.relname || '.' || p.polname as name, '${severity}' as severity,
    concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) as detail
  from pg_policy p join relations r on r.oid = p.polrelid left join carriers c on c.oid = r.oid
  where p.polroles && array(select oid from tenant_roles) and ${where}`

/** The text without its sub-selects, which run once a statement. */
export function outsideOfSubselects(expression: string): string {
  let depth = 0
  let skippedFrom: number | undefined
  let result = ''
  for (let at = 0; at < expression.length; at += 1) {
    const character = expression[at] ?? ''
    if (character === '(') {
      depth += 1
      if (skippedFrom === undefined && /^\(\s*select\b/i.test(expression.slice(at))) skippedFrom = depth
    }
    if (skippedFrom === undefined) result += character
    if (character === ')') {
      if (skippedFrom === depth) skippedFrom = undefined
      depth -= 1
    }
  }
  return result
}

const wrapped = 'using (tenant_id = (select tenantry.current_tenant()))'

export const POLICY_RULES: readonly LintRule[] = [
  {
    name: 'policy-on-a-setting',
    threat: 'S27',
    query: policies('warning', 'p.polpermissive'),
    judge: (text) => text.includes('current_setting(') && !text.includes('tenantry.current_tenant('),
    reason: () =>
      'It believes a setting, which every role may set: it is as strong as the SQL guard and no stronger.',
    wayOut: () => `Compare with the proven tenant: ${wrapped}; tenantry.protect() writes it.`,
  },
  {
    name: 'policy-for-each-row',
    query: policies('advice'),
    judge: (text) => /current_setting\(|current_tenant\(/.test(outsideOfSubselects(text)),
    reason: () => 'It asks for the tenant in each row instead of once a statement.',
    wayOut: () => `Put the question into a sub-select: ${wrapped}.`,
  },
  {
    name: 'policy-without-nullif',
    threat: 'S21',
    query: policies('advice'),
    judge: (text) => /(?<!nullif\()current_setting\(/i.test(text),
    reason: () =>
      'Between transactions a setting is empty and not null: a cast of it is an error instead of no rows.',
    wayOut: () => "nullif(current_setting('app.current_tenant', true), '')",
  },
  {
    name: 'policy-without-tenant',
    threat: 'S27',
    query: policies(
      'error',
      `p.polpermissive and c.oid is not null and not exists (
         select from pg_depend d where d.classid = 'pg_policy'::regclass and d.objid = p.oid
           and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid and d.refobjsubid = c.tenant_attnum)`,
    ),
    // A policy for no row at all opens nothing.
    judge: (text) => !/^(false ?)+$/.test(text),
    reason: () =>
      'It lets tenants at rows by something else than whose they are; of several policies one is enough.',
    wayOut: (object) => `Drop ${object}, or create it again AS RESTRICTIVE.`,
  },
]
