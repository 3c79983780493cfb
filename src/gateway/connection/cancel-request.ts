/** Asks the server to cancel what a backend runs, on a connection of its own. */
import { connect } from 'node:net'

/** Which backend, as its start-up told: process id and secret. */
export interface BackendKey {
  readonly host: string
  readonly port: number
  readonly processId: number
  readonly secretKey: number
}

/** What became of a request: handled by the server, surely never sent, or nobody knows and it may yet arrive. */
type CancelOutcome = 'handled' | 'unsent' | 'unknown'

/** A server that does not close the connection within this has not taken the request, or takes it later. */
const DEADLINE_MS = 2_000

/**
 * Resolves when the server has handled the request (it closes the connection then), could not be reached, or said
 * nothing in time; never rejects, since a cancel is only ever a wish.
 * Source: PostgreSQL manual, 54.2.8 Canceling Requests in Progress; the request is sent in the clear, as libpq did.
 */
export function requestCancel({ host, port, processId, secretKey }: BackendKey): Promise<CancelOutcome> {
  const message = Buffer.alloc(16)
  message.writeInt32BE(16, 0)
  message.writeInt32BE(80_877_102, 4)
  message.writeInt32BE(processId, 8)
  message.writeInt32BE(secretKey, 12)
  return new Promise((resolve) => {
    let outcome: CancelOutcome = 'unsent'
    const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
    socket.setTimeout(DEADLINE_MS, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.on('connect', () => {
      outcome = 'unknown'
      socket.write(message)
    })
    socket.on('end', () => (outcome = 'handled'))
    socket.on('close', () => resolve(outcome))
    socket.resume()
  })
}
