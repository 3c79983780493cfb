/** Compares what ran in a schema with the files: what is missing, and whether the order still fits. */
import { TenantryError } from '../../core/errors.ts'
import type { Migration } from '../files/migration.ts'

/**
 * The migrations that have yet to run. What ran must be the beginning of the list, in the same order: the rule that
 * node-pg-migrate calls `checkOrder`, and moreover that no migration vanishes once it ran.
 * @param applied names in the order in which they ran.
 * @throws TNY403
 */
export function findMissing(
  migrations: readonly Migration[],
  applied: readonly string[],
  label: string,
): readonly Migration[] {
  const at = applied.findIndex((name, index) => migrations[index]?.name !== name)
  if (at < 0) return migrations.slice(applied.length)
  const ran = applied[at] ?? ''
  const file = migrations[at]
  throw new TenantryError('TNY403', { params: { target: label, reason: reasonFor(ran, file) } })

  function reasonFor(name: string, next: Migration | undefined): string {
    if (!migrations.some((migration) => migration.name === name)) return `${name} ran, but its file is gone`
    if (next !== undefined && !applied.includes(next.name)) {
      return `${next.file} has not run, but comes before ${name}, which has`
    }
    return `${name} ran earlier or more often than its place among the files says`
  }
}
