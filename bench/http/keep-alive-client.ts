/** The smallest HTTP client that can load a server from the other core: kept connections, one request at a time. */
import { connect, type Socket } from 'node:net'

/** An answer, as far as the benchmarks look at it. */
export interface Answer {
  readonly status: number
  readonly body: string
}

/** One connection. */
export interface KeptConnection {
  get(host: string, path: string): Promise<Answer>
  close(): void
}

const END_OF_HEAD = '\r\n\r\n'

/** Connects to a port of this machine. */
export async function openConnection(port: number): Promise<KeptConnection> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.setEncoding('latin1')
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  const waiting = receive(socket)
  return {
    get: (host, path) =>
      new Promise((resolve, reject) => {
        waiting.resolve = resolve
        waiting.reject = reject
        socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
      }),
    close: () => void socket.destroy(),
  }
}

interface Waiting {
  resolve(answer: Answer): void
  reject(error: Error): void
}

/** Reads answers with a Content-Length, which is what `res.json()` sends, and hands each to who waits. */
function receive(socket: Socket): Waiting {
  const waiting: Waiting = { resolve: () => undefined, reject: () => undefined }
  let text = ''
  socket.on('data', (chunk: string) => {
    text += chunk
    const answer = readAnswer(text)
    if (answer === undefined) return
    text = ''
    waiting.resolve(answer)
  })
  socket.on('error', (error) => waiting.reject(error))
  socket.on('close', () => waiting.reject(new Error('the server closed the connection')))
  return waiting
}

/** The answer, once all of it is here. @throws where it has no length */
export function readAnswer(text: string): Answer | undefined {
  const end = text.indexOf(END_OF_HEAD)
  if (end === -1) return undefined
  const head = text.slice(0, end)
  const [, length] = /^content-length: *(\d+)/im.exec(head) ?? []
  if (length === undefined) throw new Error(`an answer without a length: ${head}`)
  const body = text.slice(end + END_OF_HEAD.length)
  if (body.length < Number(length)) return undefined
  return { status: Number(head.split(' ', 2)[1]), body }
}
