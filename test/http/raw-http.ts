/** HTTP/1.1 by hand, for requests that no client library would send. */
import type { Server } from 'node:http'
import { request } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** An answer with its headers as they came. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

/** One request on a connection of its own, with this Host header. */
export async function get(
  port: number,
  host: string,
  path: string,
  options: { method?: string; headers?: Record<string, string | string[]>; body?: string } = {},
): Promise<Answer> {
  const { method = 'GET', headers = {}, body } = options
  return new Promise((resolve, reject) => {
    const req = request({
      port,
      host: '127.0.0.1',
      path,
      method,
      agent: false,
      headers: { ...headers, host },
    })
    req.on('error', reject)
    req.on('response', (res) => {
      let text = ''
      res.setEncoding('utf8')
      res.on('data', (chunk: string) => (text += chunk))
      res.on('error', reject)
      res.on('end', () => {
        resolve({ status: res.statusCode ?? 0, headers: res.headers as Record<string, string>, text })
      })
    })
    req.end(body)
  })
}

/** Writes text to a new connection, and reads all that comes until the server ends it. */
export async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(text)
  return untilClosed(socket)
}

/** One connection for requests that follow each other, each with a host of its own and an answer in JSON. */
export function keptConnection(port: number): {
  ask(host: string, path: string): Promise<string>
  close(): void
} {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8')
  return {
    async ask(host, path) {
      let received = ''
      const answer = new Promise<string>((resolve, reject) => {
        socket.on('data', (chunk: string) => {
          received += chunk
          const [, body] = /\r\n\r\n[^{]*(\{.*\})(?:\r\n0\r\n\r\n)?$/s.exec(received) ?? []
          if (body !== undefined) resolve(body)
        })
        socket.once('close', () => reject(new Error(`closed after: ${received}`)))
      })
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
      return answer.finally(() => socket.removeAllListeners('data').removeAllListeners('close'))
    },
    close: () => void socket.destroy(),
  }
}

/** All that comes on a socket until it is closed, by whichever side and however. */
export async function untilClosed(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let received = ''
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => (received += chunk))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      resolve(received)
    })
  })
}

/** The status codes in a stream of answers. */
export function statuses(received: string): number[] {
  return Array.from(received.matchAll(/HTTP\/1\.1 (\d{3}) /g), (match) => Number(match[1]))
}
