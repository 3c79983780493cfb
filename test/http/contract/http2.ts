/** The contract over HTTP/2, where streams of several tenants share one connection. */
import { connect as connectHttp2, constants } from 'node:http2'
import { describe, expect, test } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import type { Stand } from './stand.ts'

export function describeHttp2(on: Stand): void {
  describe('HTTP/2', () => {
    async function streams(of: readonly Record<string, string>[]): Promise<[number, string][]> {
      const session = connectHttp2(`http://127.0.0.1:${on.port}`)
      const answers = of.map(
        async (headers) =>
          new Promise<[number, string]>((resolve, reject) => {
            const stream = session.request({ ':path': '/me?wait=3', ...headers })
            let status = 0
            let text = ''
            stream.on('response', (answer) => (status = Number(answer[':status'])))
            stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
            stream.on('error', reject).on('end', () => resolve([status, text]))
          }),
      )
      try {
        return await Promise.all(answers)
      } finally {
        session.close()
      }
    }

    test('I2: streams of one connection are each served for their own authority', async () => {
      await on.start({ http2: true })
      const keys = Array.from({ length: 60 }, (_, index) => ['acme', 'globex', 'nobody'][index % 3] as string)
      const answers = await streams(keys.map((key) => ({ ':authority': `${key}.localhost` })))
      for (const [index, [status, text]] of answers.entries()) {
        const key = keys[index] as string
        const { before, after, code } = JSON.parse(text) as Record<string, unknown>
        expect([status, before, after, code]).toEqual(
          key === 'nobody' ? [404, undefined, undefined, 'TNY101'] : [200, key, key, undefined],
        )
      }
    })

    test('a stream that was answered is not aborted, one that its client resets is', async () => {
      await on.start({ http2: true, options: { abortOnDisconnect: true } })
      await streams([{ ':authority': 'acme.localhost', ':path': '/signal' }])
      const session = connectHttp2(`http://127.0.0.1:${on.port}`)
      const stream = session.request({ ':authority': 'acme.localhost', ':path': '/hang' })
      stream.on('error', () => undefined)
      await waitFor(() => on.seen.hanging === 1)
      stream.close(constants.NGHTTP2_CANCEL)
      await waitFor(() => on.seen.aborted.length === 1)
      session.close()
      expect(on.seen.aborted[0]).toMatchObject({ code: 'TNY107' })
      expect(on.seen.signals.map((signal) => signal?.aborted)).toEqual([false])
      expect(on.reported).toEqual([])
    })

    test('I2: an authority and a Host that differ are refused; a closing service says so', async () => {
      await on.start({ http2: true })
      const twice = { ':authority': 'acme.localhost', host: 'globex.localhost' }
      const [[status, text] = [0, '']] = await streams([twice])
      expect([status, JSON.parse(text).code]).toEqual([400, 'TNY102'])
      on.tenancy.closing = true
      const [closing] = await streams([{ ':authority': 'acme.localhost' }])
      expect([closing?.[0], JSON.parse(closing?.[1] ?? '{}').code]).toEqual([503, 'TNY106'])
    })
  })
}
