/** A proxy in front of PostgreSQL that writes down which messages the client sends. */
import { createServer, connect, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

/** A statement's text as it went over the wire: a Parse, or a Query of the simple protocol. */
export interface SentStatement {
  readonly tag: 'P' | 'Q'
  /** The name of the prepared statement; empty for the unnamed one. */
  readonly name: string
  readonly text: string
}

/** Frontend messages by their tag: P parse, B bind, D describe, E execute, S sync, Q query (manual, 54.7). */
export interface WireRecorder {
  /** The URL to connect to instead. */
  readonly url: string
  /** What was sent since the last call, one string for all connections. */
  take(): string
  /** The statements sent since the last call of this, in the order of their arrival. */
  takeStatements(): SentStatement[]
  /** Names of the prepared statements that were bound since the last call of this; empty for the unnamed one. */
  takeBound(): string[]
  close(): Promise<void>
}

/** @param url of the server behind. */
export async function recordWire(url: string): Promise<WireRecorder> {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  let tags = ''
  let statements: SentStatement[] = []
  let bound: string[] = []
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => sockets.delete(socket))
    }
    let rest = Buffer.alloc(0)
    let started = false
    client.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk])
      for (;;) {
        // The first message of a connection has a length but no tag.
        const at = started ? 1 : 0
        if (rest.length < at + 4) break
        const end = at + rest.readUInt32BE(at)
        if (rest.length < end) break
        if (started) {
          tags += String.fromCharCode(rest[0] ?? 0)
          const statement = readStatement(rest.subarray(0, end))
          if (statement !== undefined) statements.push(statement)
          // Bind holds the names of a portal and of a statement.
          if (rest[0] === 0x42) bound.push(rest.toString('utf8', 5, end).split('\0')[1] ?? '')
        }
        started = true
        rest = rest.subarray(end)
      }
    })
    client.pipe(upstream).pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: Object.assign(new URL(url), { port: String(port) }).href,
    take() {
      const taken = tags
      tags = ''
      return taken
    },
    takeStatements() {
      const taken = statements
      statements = []
      return taken
    },
    takeBound() {
      const taken = bound
      bound = []
      return taken
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Reads a whole message. Parse holds a name and a text, Query a text, each ended by a zero byte. */
function readStatement(message: Buffer): SentStatement | undefined {
  const tag = String.fromCharCode(message[0] ?? 0)
  if (tag !== 'P' && tag !== 'Q') return undefined
  const [first = '', second = ''] = message.toString('utf8', 5).split('\0')
  return tag === 'P' ? { tag, name: first, text: second } : { tag, name: '', text: first }
}
