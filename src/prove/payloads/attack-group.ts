/** Attacks that belong to one case of the threat catalogue. */

export interface AttackGroup {
  /** The id of the threat: `S2`. */
  readonly case: string
  /** What it is after: foreign rows, foreign changes, or something left behind for whoever comes next. */
  readonly kind: 'read' | 'write' | 'state'
  /** SQL with `{other}`, `{otherRole}`, `{otherId}` and `{table}`. */
  readonly attacks: readonly string[]
}
