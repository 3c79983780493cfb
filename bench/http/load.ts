/** A process of its own that loads a server: told what to do by messages, and answers with what it saw. */
import { runClosedLoop, type Throughput } from '../support/closed-loop.ts'
import { createRandom, zipf } from '../support/random.ts'
import { ROWS } from '../support/tenant-tables.ts'
import { type KeptConnection, openConnection } from './keep-alive-client.ts'

/** What to load, and how. */
export interface LoadOrder {
  readonly port: number
  /** The server's process, whose processor time is told too. */
  readonly pid: number
  /** Hosts to choose from, Zipf-distributed, and the `customer` that each one's orders must name. */
  readonly hosts: readonly (readonly [host: string, customer: string])[]
  readonly connections: number
  readonly ms: number
  readonly seed: number
}

/** What it came to, or why it ended early. */
export type LoadReport = Throughput | { readonly error: string }

process.on('message', (order: LoadOrder) => {
  run(order).then(
    (report) => process.send?.(report),
    (error: unknown) => process.send?.({ error: String(error) }),
  )
})

async function run({ port, pid, hosts, connections, ms, seed }: LoadOrder): Promise<Throughput> {
  const free: KeptConnection[] = await Promise.all(
    Array.from({ length: connections }, () => openConnection(port)),
  )
  const all = [...free]
  const [random, choose] = [createRandom(seed), zipf(hosts.length)]
  const problems: string[] = []
  try {
    const report = await runClosedLoop({ concurrency: connections, ms, serverPid: pid }, async () => {
      const connection = free.pop()
      const [host, customer] = hosts[choose(random)] ?? ['', '']
      if (connection === undefined) throw new Error('no connection is free')
      const { status, body } = await connection.get(host, `/orders/${1 + Math.floor(random() * ROWS)}`)
      free.push(connection)
      if (status !== 200 || !body.includes(`"customer":"${customer}"`))
        problems.push(`${host}: ${status} ${body}`)
    })
    if (problems.length > 0 || report.failed > 0) {
      throw new Error(
        `${problems.length + report.failed} wrong answers, such as ${problems[0] ?? 'none at all'}`,
      )
    }
    return report
  } finally {
    for (const connection of all) connection.close()
  }
}
