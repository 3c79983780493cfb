/** The contract: where the tenant’s context reaches, and that no connection carries it on to the next request. */
import { createHash } from 'node:crypto'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import { exchange, get, keptConnection, statuses } from '../raw-http.ts'
import type { Stand } from './stand.ts'

const BODIES = [
  ['application/json', '{"a":1}'],
  ['application/json', JSON.stringify({ a: 'x'.repeat(90_000) })],
  ['text/plain', 'x'],
]

export function describeContext(on: Stand): void {
  describe('the context', () => {
    test.each(BODIES)('A1: reading a body of %s keeps it', async (type, body) => {
      const post = { method: 'POST', body, headers: { 'content-type': type } }
      const { text } = await get(on.port, 'acme.localhost', '/me?wait=1', post)
      const expected = type === 'text/plain' ? body : (JSON.parse(body) as unknown)
      expect(JSON.parse(text)).toMatchObject({ before: 'acme', after: 'acme', body: expected })
    })

    test('A1: a body that dribbles in keeps it too', async () => {
      const headers = { host: 'acme.localhost', 'content-type': 'application/json' }
      const req = request({ port: on.port, host: '127.0.0.1', path: '/me', method: 'POST', headers })
      const answer = new Promise<string>((resolve) => {
        req.on('response', (res) => res.setEncoding('utf8').on('data', resolve))
      })
      for (const piece of ['{"a"', ':', '1', '}']) {
        req.write(piece)
        await sleep(10)
      }
      req.end()
      expect(JSON.parse(await answer)).toMatchObject({ before: 'acme', after: 'acme', body: { a: 1 } })
    })

    test.each(['application/octet-stream', 'multipart/form-data; boundary=b'])(
      'A1: uploads (%s) that the handler reads as they come keep it, also those of several tenants at once',
      async (type) => {
        const body = createHash('sha256').update('seed').digest('hex').repeat(40_000)
        const answers = await Promise.all(
          ['acme', 'globex', 'acme', 'globex'].map((key) =>
            get(on.port, `${key}.localhost`, '/upload', {
              method: 'POST',
              body,
              headers: { 'content-type': type },
            }),
          ),
        )
        expect(answers.map(({ text }) => JSON.parse(text))).toEqual(
          ['acme', 'globex', 'acme', 'globex'].map((key) => ({ bytes: body.length, tenants: [key] })),
        )
      },
    )

    test('A1: answers that stream on after the handler returned keep it, to readers that are slow', async () => {
      const answers = await Promise.all(
        ['acme', 'globex', 'acme'].map(async (key) => readSlowly(on.port, key)),
      )
      for (const [index, key] of ['acme', 'globex', 'acme'].entries()) {
        const lines = answers[index]?.trimEnd().split('\n') ?? []
        expect(lines).toHaveLength(60)
        expect(new Set(lines.map((line) => line.split(' ')[0]))).toEqual(new Set([key]))
      }
    })

    test('A1: work that outlives its answer keeps it; a callback run elsewhere throws unless it is bound', async () => {
      await get(on.port, 'acme.localhost', '/later')
      await get(on.port, 'globex.localhost', '/later')
      await waitFor(() => on.seen.later.length === 2)
      expect(on.seen.later).toEqual(['acme', 'globex'])
      const { text } = await get(on.port, 'acme.localhost', '/elsewhere')
      expect(JSON.parse(text)).toEqual({ plain: 'TNY201', bound: 'acme' })
    })

    test('A2: a context inside for another tenant ends where its function ends', async () => {
      const { text } = await get(on.port, 'acme.localhost', '/nested')
      expect(JSON.parse(text)).toEqual({ inner: 'globex', outer: 'acme' })
    })

    test('A4: keys of caches are the tenant’s own', async () => {
      const [acme, globex] = await Promise.all(
        ['acme', 'globex'].map(async (key) => (await get(on.port, `${key}.localhost`, '/cache')).text),
      )
      expect(acme).toContain('id-of-acme')
      expect(globex).toBe(acme?.replace('id-of-acme', 'id-of-globex'))
    })

    test('I2: a connection that is kept alive switches tenants with the host, a thousand times', async () => {
      const kept = keptConnection(on.port)
      const keys = ['acme', 'globex', 'nobody', 'acme', 'sleepy', 'globex', '', 'acme']
      for (let turn = 0; turn < 1_000; turn += 1) {
        const key = keys[turn % keys.length] as string
        const answer = await kept.ask(key === '' ? 'localhost' : `${key}.localhost`, '/me')
        const served = key === 'acme' || key === 'globex' ? key : undefined
        expect((JSON.parse(answer) as { after?: string }).after).toBe(served)
      }
      kept.close()
    })

    test('I2: pipelined requests are each served for their own host', async () => {
      const keys = Array.from({ length: 40 }, (_, index) => ['acme', 'globex', 'nobody'][index % 3] as string)
      const text = keys.map((key, index) => {
        const last = index === keys.length - 1 ? 'Connection: close\r\n' : ''
        return `GET /me?wait=${(index * 7) % 20} HTTP/1.1\r\nHost: ${key}.localhost\r\n${last}\r\n`
      })
      const received = await exchange(on.port, text.join(''))
      expect(statuses(received)).toEqual(keys.map((key) => (key === 'nobody' ? 404 : 200)))
      const after = Array.from(
        received.matchAll(/"before":"(\w+)","after":"(\w+)"/g),
        (match) => `${match[1]} ${match[2]}`,
      )
      expect(after).toEqual(keys.filter((key) => key !== 'nobody').map((key) => `${key} ${key}`))
    })

    test('many tenants at once do not mix', async () => {
      const keys = Array.from({ length: 200 }, (_, index) => (index % 2 === 0 ? 'acme' : 'globex'))
      const found = await Promise.all(keys.map((key, n) => on.keyOf(`${key}.localhost`, `/me?wait=${n % 7}`)))
      expect(found).toEqual(keys)
    })
  })
}

async function readSlowly(port: number, key: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { host: `${key}.localhost` }
    const req = request({ port, host: '127.0.0.1', path: '/stream', agent: false, headers })
    req.on('error', reject).on('response', (res) => {
      let text = ''
      res.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        res.pause()
        setTimeout(() => res.resume(), 1)
      })
      res.on('error', reject).on('end', () => resolve(text))
    })
    req.end()
  })
}
