/** Who is behind, by one query over the catalog's database, page by page: memory does not grow with the fleet. */
import type { Queryable } from '../../core/database.ts'
import type { TenantModel, TenantStatus } from '../../core/tenant.ts'
import type { Chain } from './chain.ts'
import type { Target } from './ledger.ts'

/** A tenant whose tables are its own and that is not at the head of the files, or of which no head is known. */
export interface BehindMember {
  readonly id: string
  readonly key: string
  readonly status: TenantStatus
  readonly plan: string
  readonly model: TenantModel
  /** Of a tenant in another database. */
  readonly database: string | undefined
  readonly target: Target
  /** What its head points to; `undefined` where none is known: nothing ran, or another tool did it. */
  readonly digest: string | undefined
  /** How many of the migrations ran; `undefined` where the files are not what ran, or nothing is known. */
  readonly ran: number | undefined
}

/** How many tenants point to a digest. */
export interface VersionCount {
  readonly digest: string | undefined
  readonly tenants: number
}

/** What the first query told. */
export interface Behind {
  /** Of all tenants, also of those that are at head. */
  readonly versions: readonly VersionCount[]
  /** By key; the first page has been read. */
  readonly pages: AsyncIterable<readonly BehindMember[]>
}

export interface ReadBehindOptions {
  /** `active`, `suspended` and `moving` by default. */
  readonly statuses?: readonly TenantStatus[] | undefined
  readonly pageSize?: number | undefined
}

const FLEET = `from tenantry.tenants t
  left join tenantry.migration_heads h
    on h.schema_name = t.schema_name and h.database_name = coalesce(t.database_name, '')
  where t.model <> 'shared' and t.status = any ($1)`

const COUNTS = `coalesce((select json_agg(json_build_object('digest', c.digest, 'tenants', c.tenants)) from
  (select h.digest, count(*) as tenants ${FLEET} group by h.digest) c), '[]')`

const PAGE = `coalesce((select json_agg(json_build_object('id', m.id, 'key', m.key, 'status', m.status, 'plan', m.plan,
    'model', m.model, 'database', m.database_name, 'schema', m.schema_name, 'role', m.role_name,
    'ownerRole', m.owner_role, 'digest', m.digest) order by m.key) from
  (select t.*, b.key, h.digest ${FLEET.replace('left join', 'join tenantry.keys b on b.tenant_id = t.id and not b.is_alias\n  left join')}
     and b.key > $2 and h.digest is distinct from $3 order by b.key limit $4) m), '[]')`

interface Found {
  readonly id: string
  readonly key: string
  readonly status: TenantStatus
  readonly plan: string
  readonly model: TenantModel
  readonly database: string | null
  readonly schema: string
  readonly role: string
  readonly ownerRole: string
  readonly digest: string | null
}

/**
 * Asks once where everybody is at head, and once more for each further page. What is migrated between two pages is
 * neither missed nor told twice.
 * @example
 * const { versions, pages } = await readBehind(session, chainOf(migrations))
 * for await (const members of pages) await work(members)
 */
export async function readBehind(
  session: Queryable,
  chain: Chain,
  options: ReadBehindOptions = {},
): Promise<Behind> {
  const { statuses = ['active', 'suspended', 'moving'], pageSize = 500 } = options
  async function ask(select: string, after: string): Promise<string[]> {
    const { rows } = await session.query<{ found: string }>(
      `select json_build_array(${select})::text as found`,
      [statuses, after, chain.head ?? null, pageSize],
    )
    return JSON.parse(rows[0]?.found ?? '[]') as string[]
  }
  const [versions, first] = (await ask(`${COUNTS}, ${PAGE}`, '')) as unknown as [Counted[], Found[]]
  return {
    versions: versions.map(({ digest, tenants }) => ({ digest: digest ?? undefined, tenants })),
    pages: {
      async *[Symbol.asyncIterator]() {
        for (let page = first; page.length > 0;) {
          yield page.map(toMember)
          if (page.length < pageSize) return
          ;[page = []] = (await ask(PAGE, page.at(-1)?.key ?? '')) as unknown as [Found[]]
        }
      },
    },
  }

  function toMember(found: Found): BehindMember {
    const { id, key, status, plan, model, schema, role, ownerRole } = found
    const digest = found.digest ?? undefined
    const target = { schema, ownerRole, tenantRole: role, tenantId: id, label: key }
    const ran = digest === undefined ? undefined : chain.ran(digest)
    return { id, key, status, plan, model, database: found.database ?? undefined, target, digest, ran }
  }
}

interface Counted {
  readonly digest: string | null
  readonly tenants: number
}
