/** What each part of a flight costs the server, with a client that costs nothing: the least that a statement can be. */
import type pg from 'pg'
import { bindAndExecute, CONTEXT_TEXT } from '../src/gateway/connection/context-statement.ts'
import { createAdminDatabase } from '../src/gateway/admin-database.ts'
import type { Bench } from './bench.ts'
import { makeTenantsOfKinds, type ModelTenant } from './support/model-tenants.ts'
import { openRawConnection, parseMessage, type RawConnection, SYNC } from './support/raw-connection.ts'
import { say } from './support/report.ts'
import { takeTurns } from './support/rounds.ts'
import { median, percentile, rounded } from './support/statistics.ts'

const KINDS = {
  schema: { model: 'schema', tier: 'guarded' },
  shared: { model: 'shared', tier: 'guarded' },
} as const
const TENANTS = { schema: 1, shared: 1 }
/** As of more tenants: in a table with few rows PostgreSQL looks through all of them, which costs more than by index. */
const FILLERS =
  "insert into tenantry.contexts (id, status, proof) select 'filler ' || n, 'active', '' from generate_series(1, 5000) n"
/** Flights in a stretch: short ones, so that some of them meet a machine with nothing else to do. */
const STRETCH = 150
const ROLE_TEXT = "select where set_config('role', $1, true) = ''"

interface Way {
  readonly name: string
  readonly about: string
  readonly connection: RawConnection
  readonly bytes: Buffer
}

/** `npm run -s bench -- flight`. */
export const flight: Bench = async (world, { quick, only }) => {
  say('making tenants')
  const tenants = await makeTenantsOfKinds(world, TENANTS, KINDS)
  const db = createAdminDatabase(tenants.superuserUrl, 1)
  const ways: Way[] = []
  try {
    await db.query(FILLERS)
    await db.query('vacuum analyze tenantry.contexts')
    const { rows: proofs } = await db.query<{ id: string; proof: string }>(
      'select id, proof from tenantry.contexts',
    )
    const contextOf = ({ id, home }: ModelTenant): string[] => {
      const proof = proofs.find((row) => row.id === id)?.proof ?? ''
      return [home.role, `"${home.schema}", public, pg_temp`, id, proof, '60000', '60000']
    }

    /** @param before sent ahead of the statement, and ahead of its preparation. */
    async function add(
      name: string,
      about: string,
      config: pg.ClientConfig,
      before: Before,
      read: Read,
    ): Promise<void> {
      const connection = await openRawConnection(config)
      const parses = before.map(({ text }, index) => parseMessage(`before_${index}`, text))
      const enters = before.map(({ values }, index) => bindAndExecute(`before_${index}`, values))
      const { text, values, named = true } = read
      const parse = parseMessage(named ? 'read' : '', text)
      await connection.flight(Buffer.concat([...parses, SYNC]))
      if (named) await connection.flight(Buffer.concat([...enters, parse, SYNC]))
      const statement = text === '' ? [] : [bindAndExecute(named ? 'read' : '', values)]
      ways.push({
        name,
        about,
        connection,
        bytes: Buffer.concat([...enters, ...(named ? [] : [parse]), ...statement, SYNC]),
      })
    }

    const bare = { connectionString: tenants.superuserUrl }
    const app = { connectionString: tenants.appUrl }
    const [tenant] = tenants.of.schema as [ModelTenant]
    const [sharer] = tenants.of.shared as [ModelTenant]
    const context = contextOf(tenant)
    const path = `-c search_path=${tenant.home.schema} -c statement_timeout=60000`
    const own = { text: 'select id, customer, amount from orders where id = $1', values: ['7'] }
    const byHand = { ...own, text: own.text.replace('orders', `${tenant.home.schema}.orders`) }
    const sharedByHand = {
      text: `select id, customer, amount from ${sharer.home.schema}.orders where tenant_id = $2 and id = $1`,
      values: ['7', sharer.id],
    }
    const bound = (values: string[]): Before => [{ text: CONTEXT_TEXT, values }]
    const reset = { text: 'reset all', values: [] }
    await add('sync', 'a round trip that does nothing', bare, [], { text: '', values: [] })
    await add('by_hand', 'the statement, prepared, no tenant', bare, [], byHand)
    await add('by_hand_unnamed', 'the same, planned each time', bare, [], { ...byHand, named: false })
    await add('resident', 'RESET ALL, then the statement', { ...bare, options: path }, [reset], own)
    const role = { text: ROLE_TEXT, values: [tenant.home.role] }
    await add('resident_role', 'the same, with the role', { ...app, options: path }, [reset, role], own)
    await add('context', 'the context of six settings', app, bound(context), own)
    await add('context_unnamed', 'the same, statement planned each time', app, bound(context), {
      ...own,
      named: false,
    })
    await add('shared', 'the context, and a proven policy', app, bound(contextOf(sharer)), own)
    await add('shared_by_hand', 'shared rows, where tenant_id = …', bare, [], sharedByHand)
    await add('shared_by_hand_unnamed', 'the same, planned each time', bare, [], {
      ...sharedByHand,
      named: false,
    })

    const measured = ways.filter(({ name }) => only === undefined || only.includes(name))
    const rounds = await takeTurns(measured, quick ? 20 : 80, async ({ connection, bytes }) => {
      const before = connection.backendMicros()
      for (let sent = 0; sent < STRETCH; sent += 1) await connection.flight(bytes)
      return (connection.backendMicros() - before) / STRETCH
    })
    // What else the machine does only ever adds to a stretch.
    const least = measured.map(
      ({ name }) => [name, rounded(percentile(rounds.get(name) ?? [], 0.1), 1)] as const,
    )
    const middle = measured.map(({ name }) => [name, rounded(median(rounds.get(name) ?? []), 1)] as const)
    return {
      table: [
        ['what', '', 'server µs (least)', 'median'],
        ...measured.map(({ name, about }, index) => [
          name,
          about,
          least[index]?.[1] ?? 0,
          middle[index]?.[1] ?? 0,
        ]),
      ],
      figures: { server_micros: Object.fromEntries(least), median: Object.fromEntries(middle) },
      ratio: {},
    }
  } finally {
    for (const { connection } of ways) connection.close()
    await db.query("delete from tenantry.contexts where id like 'filler %'")
    await db.close()
    await tenants.close()
  }
}

type Before = readonly { readonly text: string; readonly values: string[] }[]

interface Read {
  readonly text: string
  readonly values: string[]
  readonly named?: boolean
}
