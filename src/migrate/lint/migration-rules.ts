/** All rules, by the names that a configuration knows. */
import type { MigrationRule } from './migration-rule.ts'
import { LOCK_RULES } from './rules/lock-rules.ts'
import { REWRITE_RULES } from './rules/rewrite-rules.ts'
import { RUNNING_CODE_RULES } from './rules/running-code-rules.ts'
import { TENANT_RULES } from './rules/tenant-rules.ts'
import { TYPE_RULES } from './rules/type-rules.ts'

/** In the order in which their findings stand for one statement. */
export const RULES: readonly MigrationRule[] = [
  ...TENANT_RULES,
  ...RUNNING_CODE_RULES,
  ...LOCK_RULES,
  ...REWRITE_RULES,
  ...TYPE_RULES,
]
