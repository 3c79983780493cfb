/** Ports of 127.0.0.1: which are free, and whether a PostgreSQL answers on one. */
import { connect, createServer } from 'node:net'

/** Whether this port can be listened on now; 0 asks for any. Resolves to the port, or undefined if it is taken. */
export function findFreePort(port = 0): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      const address = server.address()
      const found = typeof address === 'object' && address !== null ? address.port : undefined
      server.close(() => resolve(found))
    })
  })
}

/** A StartupMessage of protocol 3.0 (PostgreSQL manual 54.7) for the user and database `postgres`. */
function startupMessage(): Buffer {
  const body = Buffer.from('\0\x03\0\0user\0postgres\0database\0postgres\0\0', 'latin1')
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length + 4)
  return Buffer.concat([length, body])
}

/** Whether a server asks for a password there, which it does only once it takes connections. */
export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    const settle = (ready: boolean): void => {
      socket.destroy()
      resolve(ready)
    }
    socket.setTimeout(2_000, () => settle(false))
    socket.once('error', () => settle(false))
    socket.once('close', () => settle(false))
    socket.once('connect', () => socket.write(startupMessage()))
    socket.once('data', (data) => settle(data[0] === 0x52))
  })
}
