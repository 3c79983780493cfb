/** What a schema holds, in words that are the same wherever it lies and whoever owns it. */

/**
 * A schema's objects. Names and texts are SQL as it is written inside of the schema: quoted where they must be,
 * qualified where they are in another one.
 */
export interface SchemaDescription {
  /** By kind and name. */
  readonly objects: readonly SchemaObject[]
  /** What an object needs before it can be made, by id: `view totals` → `column orders.id`, `table orders`. */
  readonly needs: Readonly<Record<string, readonly string[]>>
  /** Objects that cannot be described: they count by their names alone, and cannot be rendered. */
  readonly unsupported: readonly string[]
  /** Names of constraints, the oldest first: of several that a change violates, PostgreSQL tells the one made first. */
  readonly foreignKeys: readonly string[]
  /** SHA-256 of the objects, in hexadecimal: equal for equal schemas of one major version of PostgreSQL. */
  readonly fingerprint: string
}

/** One object; its id is kind and name: `constraint orders.orders_pkey`. */
export type SchemaObject =
  | Described<'table', TableFacts>
  | Described<'constraint', ConstraintFacts>
  | Described<'index', IndexFacts>
  | Described<'sequence', SequenceFacts>
  | Described<'view', ViewFacts>
  | Described<'materialized view', ViewFacts>
  | Described<'routine', RoutineFacts>
  | Described<'operator', OperatorFacts>
  | Described<'trigger', TriggerFacts>
  | Described<'rule', TriggerFacts>
  | Described<'policy', PolicyFacts>
  | Described<'type', TypeFacts>
  | Described<'statistics', StatisticsFacts>
  | Described<'unsupported', Commented>

export type ObjectKind = SchemaObject['kind']

/** The object of a kind. */
export type ObjectOf<K extends ObjectKind> = Extract<SchemaObject, { readonly kind: K }>

interface Described<K extends string, F> {
  readonly kind: K
  readonly name: string
  readonly facts: F
}

interface Commented {
  readonly comment?: string
}

/** A right that others than the owner have. Absent as a whole where an object has the rights that it was born with. */
export interface Grant {
  readonly to: string
  readonly rights: readonly string[]
  readonly grantable?: true
}

interface Granted extends Commented {
  readonly grants?: readonly Grant[]
}

export interface TableFacts extends Granted {
  readonly columns: readonly ColumnFacts[]
  /** `u`: unlogged. */
  readonly persistence?: 'u'
  readonly options?: readonly string[]
  readonly toastOptions?: readonly string[]
  /** The access method, where it is not heap. */
  readonly method?: string
  readonly partitionBy?: string
  readonly bound?: string
  readonly parents?: readonly string[]
  readonly ofType?: string
  /** `f`: the whole row, `n`: nothing; `i` is told by the index. */
  readonly replicaIdentity?: 'f' | 'n' | 'i'
  readonly rowSecurity?: true
  readonly forced?: true
}

export interface ColumnFacts extends Granted {
  readonly name: string
  readonly type: string
  readonly collation?: string
  readonly notNull?: NotNullFacts
  readonly default?: string
  readonly generated?: { readonly how: 's' | 'v'; readonly as: string }
  readonly identity?: {
    readonly how: 'a' | 'd'
    /** Absent in a partition, which takes its parent's. */
    readonly sequence?: string
    readonly options?: SequenceOptions
  }
  readonly storage?: string
  readonly compression?: string
  readonly statistics?: number
  readonly options?: readonly string[]
  /** It has it from a parent … */
  readonly inherited?: true
  /** … and was declared here all the same. */
  readonly local?: true
}

/** Before PostgreSQL 18 no more than that it is so. */
export interface NotNullFacts {
  readonly name?: string
  readonly definition?: string
  readonly inherited?: true
  readonly local?: true
  readonly comment?: string
}

/** In decimal text, since they may exceed what a JSON number holds. */
export interface SequenceOptions {
  readonly type: string
  readonly start: string
  readonly increment: string
  readonly min: string
  readonly max: string
  readonly cache: string
  readonly cycle?: true
}

export interface SequenceFacts extends Granted, SequenceOptions {
  readonly persistence?: 'u'
  /** `table.column` */
  readonly ownedBy?: string
}

/** Of an index, whether a constraint stands on it or not. */
export interface IndexTraits extends Commented {
  readonly table: string
  readonly options?: readonly string[]
  /** The index of the partitioned table that it is a part of. */
  readonly parent?: string
  readonly clustered?: true
  readonly replicaIdentity?: true
  /** Its last build did not end. */
  readonly invalid?: true
}

export interface ConstraintFacts extends IndexTraits {
  readonly type: 'p' | 'u' | 'f' | 'c' | 'x'
  readonly constraint: string
  readonly definition: string
  readonly inherited?: true
  readonly local?: true
}

export interface IndexFacts extends IndexTraits {
  readonly definition: string
  /** By the position of a column that is an expression. */
  readonly statistics?: Readonly<Record<string, number>>
}

export interface ViewFacts extends Granted {
  readonly query: string
  readonly options?: readonly string[]
  readonly columns: readonly {
    readonly name: string
    readonly type: string
    readonly default?: string
    readonly comment?: string
    readonly grants?: readonly Grant[]
  }[]
  /** Of a materialized view: it was never filled. */
  readonly unpopulated?: true
  readonly persistence?: 'u'
}

export interface RoutineFacts extends Granted {
  readonly how: 'function' | 'procedure' | 'aggregate'
  readonly definition: string
}

export interface OperatorFacts extends Commented {
  readonly definition: string
}

export interface TriggerFacts extends Commented {
  readonly table: string
  readonly trigger: string
  readonly definition: string
  /** How it fires, where that is not `O`: disabled, in replicas only, always. */
  readonly enabled?: 'D' | 'R' | 'A'
}

export interface PolicyFacts extends Commented {
  readonly table: string
  readonly policy: string
  readonly command: '*' | 'r' | 'a' | 'w' | 'd'
  readonly restrictive?: true
  readonly roles: readonly string[]
  readonly using?: string
  readonly check?: string
}

export interface TypeFacts extends Granted {
  readonly how: 'enum' | 'composite' | 'domain' | 'range'
  readonly labels?: readonly string[]
  readonly attributes?: readonly {
    readonly name: string
    readonly type: string
    readonly collation?: string
    readonly comment?: string
  }[]
  readonly base?: string
  readonly collation?: string
  readonly default?: string
  readonly notNull?: true
  readonly constraints?: readonly { readonly name: string; readonly definition: string }[]
  /** Of a range, in the order of its definition. */
  readonly range?: Readonly<Record<string, string>>
}

export interface StatisticsFacts extends Commented {
  readonly definition: string
  readonly target?: number
}

/** What `needs` calls an object. */
export function idOf({ kind, name }: SchemaObject): string {
  return `${kind} ${name}`
}

/** Stands for the schema's own name where a text must hold it: in the settings of a function. */
export const SCHEMA_MARK = '\u0002'
