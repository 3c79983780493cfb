/** What the catalogs say of one schema, as far as the shared form is derived from it or consists of it. */

/** One of the two schemas. Names are as stored; those called `…ident` are quoted where they must be. */
export interface SchemaFacts {
  readonly schema: string
  readonly ident: string
  readonly tables: readonly TableFacts[]
  readonly constraints: readonly ConstraintFacts[]
  readonly indexes: readonly IndexFacts[]
  readonly sequences: readonly SequenceFacts[]
  readonly views: readonly ViewFacts[]
  readonly routines: readonly RoutineFacts[]
  /** Columns that have the row type of a table: then that table takes no column more. */
  readonly rowTypes: readonly { readonly table: string; readonly column: string }[]
  /** What has no shared form: materialized views, foreign tables, rules. */
  readonly strangers: readonly { readonly kind: string; readonly name: string }[]
}

/** Who else than the owner may do what; `to` is quoted, or `public`. */
export interface Grant {
  readonly to: string
  readonly rights: readonly string[]
  /** With GRANT OPTION, or on single columns: never part of the shared form. */
  readonly odd: boolean
}

export interface TableFacts {
  readonly name: string
  readonly ident: string
  readonly owner: string
  readonly partition: boolean
  /** Tables of the same schema that it inherits from or is a partition of. */
  readonly parents: readonly string[]
  /** Inherits from a table of another schema. */
  readonly strangeParent: boolean
  readonly ofType: boolean
  /** pg_catalog has one of the same name, which an unqualified name would mean. */
  readonly shadowed: boolean
  readonly rowSecurity: boolean
  readonly forced: boolean
  readonly columns: readonly ColumnFacts[]
  readonly policies: readonly PolicyFacts[]
  readonly grants: readonly Grant[]
}

export interface ColumnFacts {
  readonly name: string
  readonly ident: string
  readonly notNull: boolean
  readonly type: string
  readonly collation: string | null
  readonly default: string | null
}

export interface PolicyFacts {
  readonly name: string
  readonly ident: string
  readonly permissive: boolean
  /** One letter, `*` for all (pg_policy.polcmd). */
  readonly command: string
  /** Quoted and sorted; `public` for everybody. */
  readonly roles: readonly string[]
  readonly using: string | null
  readonly check: string | null
}

export interface ConstraintFacts {
  readonly oid: string
  /** Of the partitioned table's constraint that it follows from; `0` where it stands alone. */
  readonly parent: string
  readonly table: string
  readonly name: string
  readonly ident: string
  /** pg_constraint.contype: `p`, `u`, `f`, `c` or `x`. */
  readonly type: string
  /** Of pg_get_constraintdef. */
  readonly definition: string
  /** Has it from a parent alone. */
  readonly inherited: boolean
  readonly validated: boolean
  readonly enforced: boolean
  /** The index behind it; of a foreign key, the one that it refers to. */
  readonly index: string | null
  /** Of a primary key or unique constraint. */
  readonly indexOid: string | null
  readonly key: ForeignKeyFacts | null
}

export interface ForeignKeyFacts {
  /** Of the same schema. */
  readonly inside: boolean
  readonly target: string
  readonly targetIdent: string
  readonly columns: readonly string[]
  readonly targetColumns: readonly string[]
  /** pg_constraint.confmatchtype, confupdtype and confdeltype. */
  readonly match: string
  readonly onUpdate: string
  readonly onDelete: string
  /** The columns that ON DELETE SET … names. */
  readonly deleteColumns: readonly string[]
  readonly deferrable: boolean
  readonly deferred: boolean
  /** The last pair is compared as periods (18). */
  readonly period: boolean
}

export interface IndexFacts {
  readonly oid: string
  /** Of the partitioned table's index that it is part of; `0` where it stands alone. */
  readonly parent: string
  readonly table: string
  readonly name: string
  readonly ident: string
  readonly ofConstraint: boolean
  readonly method: string
  readonly unique: boolean
  readonly columnCount: number
  /** The definition behind the bracket that opens the list of columns; `null` where it could not be told. */
  readonly rest: string | null
}

export interface SequenceFacts {
  readonly name: string
  readonly ident: string
  readonly ascending: boolean
  readonly grants: readonly Grant[]
}

export interface ViewFacts {
  readonly name: string
  readonly ident: string
  readonly invoker: boolean
  readonly grants: readonly Grant[]
}

export interface RoutineFacts {
  /** Name and types, fit for GRANT. */
  readonly signature: string
  readonly grants: readonly Grant[]
}
