/** drainOnSignal under frameworks that have an end of their own: it must not keep a request, or the process. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { waitFor } from '../support/wait-for.ts'
import { statuses, untilClosed } from './raw-http.ts'

const FIXTURE = fileURLToPath(new URL('fixtures/drain-face.ts', import.meta.url))

test.each(['Fastify', 'Hono', 'Nest on Fastify'])(
  '%s: the request in flight finishes, the next one is refused',
  async (face) => {
    const child = spawn(process.execPath, [FIXTURE], { env: { ...process.env, FACE: face } })
    try {
      let output = ''
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => (output += text))
      }
      const exit = once(child, 'exit')
      await waitFor(() => output.includes('port ') || child.exitCode !== null, 25_000)
      const port = Number(/port (\d+)/.exec(output)?.[1])
      const socket = connect(port, '127.0.0.1')
      const received = untilClosed(socket)
      socket.write('GET /slow HTTP/1.1\r\nHost: a\r\nX-Tenant: acme\r\n\r\n')
      await waitFor(() => output.includes('took /slow'))
      child.kill('SIGTERM')
      await waitFor(async () => !(await accepts(port)))
      socket.write('GET /late HTTP/1.1\r\nHost: a\r\nX-Tenant: acme\r\n\r\n')
      const text = await received
      expect(statuses(text)).toEqual([200, 503])
      expect(text).toContain('done for acme')
      expect(text).toContain('"code":"TNY106"')
      const [code] = (await exit) as [number | null]
      expect([code, output.includes('closed\nby itself\n'), output.includes('error')]).toEqual([
        0,
        true,
        false,
      ])
    } finally {
      child.kill('SIGKILL')
    }
  },
)

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  return new Promise((resolve) => {
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
  }).then((accepted) => {
    socket.destroy()
    return accepted as boolean
  })
}
