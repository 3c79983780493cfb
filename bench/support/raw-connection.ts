/** A connection that writes bytes made ahead and reads none of the answer: a client that costs next to nothing. */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import pg from 'pg'

/** One backend, asked one flight after the other. */
export interface RawConnection {
  /** What its backend has spent of processor time, in microseconds; NaN where nobody keeps that (not Linux). */
  backendMicros(): number
  /** Sends messages that end with a Sync, and waits until the server is ready again. @throws what the server says */
  flight(bytes: Buffer): Promise<void>
  close(): void
}

/** What node-postgres' typings leave out. */
interface Inner {
  readonly connection: { readonly stream: Socket }
  readonly processID: number
}

const READY = 'Z'.charCodeAt(0)
const FAILED = 'E'.charCodeAt(0)

export async function openRawConnection(config: pg.ClientConfig): Promise<RawConnection> {
  const client = new pg.Client(config)
  client.on('error', () => undefined)
  await client.connect()
  const { connection, processID } = client as unknown as Inner
  const { stream } = connection
  stream.removeAllListeners('data')
  let chunks: Buffer[] = []
  let answered: ((bytes: Buffer) => void) | undefined
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    const bytes = chunks.length === 1 ? chunk : Buffer.concat(chunks)
    // ReadyForQuery is six bytes long, and comes last.
    if (bytes.at(-6) !== READY) return
    chunks = []
    answered?.(bytes)
  })
  return {
    backendMicros() {
      try {
        return Number(readFileSync(`/proc/${processID}/schedstat`, 'utf8').split(' ')[0]) / 1_000
      } catch {
        return Number.NaN
      }
    },
    async flight(bytes) {
      const answer = await new Promise<Buffer>((resolve) => {
        answered = resolve
        stream.write(bytes)
      })
      for (let at = 0; at < answer.length; at += 1 + answer.readInt32BE(at + 1)) {
        if (answer[at] === FAILED) throw new Error(answer.toString('utf8', at + 5))
      }
    },
    close: () => void stream.destroy(),
  }
}

/** Parse. Source: PostgreSQL manual, 54.7 Message Formats. */
export function parseMessage(name: string, text: string): Buffer {
  const body = Buffer.from(`${name}\0${text}\0\0\0`)
  const head = Buffer.from('P\0\0\0\0')
  head.writeInt32BE(4 + body.length, 1)
  return Buffer.concat([head, body])
}

export const SYNC = Buffer.from('S\0\0\0\x04')
