import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { exchange, statuses, untilClosed } from './raw-http.ts'

const FIXTURE = fileURLToPath(new URL('drain-fixture.ts', import.meta.url))

interface Running {
  readonly child: ChildProcess
  readonly port: number
  /** Standard output and error so far. */
  output(): string
  /** Waits until the output holds this text. */
  said(text: string): Promise<void>
  /** How it ended, and after how many milliseconds from `since`. */
  ended(since: number): Promise<{ code: number | null; ms: number }>
}

const running: ChildProcess[] = []
afterAll(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL')
})

async function start(env: Record<string, string> = {}, ipc = false): Promise<Running> {
  const child = spawn(process.execPath, [FIXTURE], {
    env: { ...process.env, ...env },
    stdio: ipc ? ['ignore', 'pipe', 'pipe', 'ipc'] : ['ignore', 'pipe', 'pipe'],
  })
  running.push(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  const exit = new Promise<number | null>((resolve) => child.on('exit', resolve))
  async function said(text: string): Promise<void> {
    while (!output.includes(text)) {
      if (child.exitCode !== null) throw new Error(`ended without saying "${text}": ${output}`)
      await sleep(5)
    }
  }
  await said('port ')
  return {
    child,
    port: Number(/port (\d+)/.exec(output)?.[1]),
    output: () => output,
    said,
    ended: async (since) => ({ code: await exit, ms: performance.now() - since }),
  }
}

async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}

/** Sends a signal and waits until the process has begun to drain: it takes no new connection. */
async function signalled(server: Running, signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
  const since = performance.now()
  server.child.kill(signal)
  while (await accepts(server.port)) await sleep(5)
  return since
}

async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket: Socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => {
      resolve(false)
    })
  })
}

describe.concurrent('drainOnSignal', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s: a request in flight finishes, then close() runs, then it ends',
    async (signal) => {
      const server = await start()
      const answer = exchange(server.port, 'GET /slow?ms=400 HTTP/1.1\r\nHost: a\r\n\r\n')
      await server.said('took /slow')
      const since = await signalled(server, signal)
      expect(server.output()).not.toContain('closing')
      const received = await answer
      expect(received).toContain('done /slow')
      // It was sent with keep-alive: the client must know that the connection ends.
      expect(received.toLowerCase()).toContain('connection: close')
      const { code, ms } = await server.ended(since)
      expect([code, server.output().endsWith('closing\nclosed\nby itself\n')]).toEqual([0, true])
      expect(ms).toBeLessThan(5_000)
    },
  )

  test('connections that are kept alive, or were never used, do not hold it', async () => {
    const server = await start()
    const agent = new Agent({ keepAlive: true })
    await new Promise<void>((resolve) => {
      request({ port: server.port, host: '127.0.0.1', agent }, (res) => {
        res.resume().on('end', () => {
          resolve()
        })
      }).end()
    })
    const unused = connect(server.port, '127.0.0.1')
    await new Promise((resolve) => unused.once('connect', resolve))
    const since = await signalled(server)
    const { code } = await server.ended(since)
    expect([code, server.output().endsWith('by itself\n')]).toEqual([0, true])
    agent.destroy()
    unused.destroy()
  })

  test('a new request on an open connection is refused with 503, and the answer before it is whole', async () => {
    const server = await start()
    const socket = connect(server.port, '127.0.0.1')
    const received = untilClosed(socket)
    socket.write('GET /stream?ms=500 HTTP/1.1\r\nHost: a\r\n\r\n')
    await server.said('took /stream')
    const since = await signalled(server)
    socket.write('GET /late HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n')
    const text = await received
    expect(statuses(text).filter((status) => status !== 100)).toEqual([200, 503])
    expect(text).toContain('done /stream')
    expect(text).toMatch(/connection: close/i)
    expect(text).toMatch(/retry-after: 1/i)
    expect(text).toContain('"code":"TNY106"')
    expect((await server.ended(since)).code).toBe(0)
    expect(server.output()).not.toContain('took /late')
  })

  test('pipelined requests that were taken before the signal are all answered', async () => {
    const server = await start()
    const answers = exchange(
      server.port,
      'GET /one?ms=300 HTTP/1.1\r\nHost: a\r\n\r\nGET /two?ms=400 HTTP/1.1\r\nHost: a\r\n\r\n',
    )
    await server.said('took /two')
    const since = await signalled(server)
    const text = await answers
    expect(statuses(text)).toEqual([200, 200])
    expect(text).toContain('done /two')
    expect((await server.ended(since)).code).toBe(0)
  })

  test('a request that takes too long is cut off, and the exit code says so', async () => {
    const server = await start({ TIMEOUT_MS: '300' })
    const answer = exchange(server.port, 'GET /slow?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n')
    await server.said('took /slow')
    const since = await signalled(server)
    expect(await answer).toBe('')
    const { code, ms } = await server.ended(since)
    expect([code, server.output().includes('closed\n')]).toEqual([1, true])
    expect(ms).toBeGreaterThan(290)
    expect(ms).toBeLessThan(6_000)
  })

  test('upgraded connections do not hold it for ever', async () => {
    const server = await start({ TIMEOUT_MS: '300' })
    const socket = connect(server.port, '127.0.0.1')
    socket.write('GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    await new Promise((resolve) => socket.once('data', resolve))
    const closed = untilClosed(socket)
    const { code, ms } = await server.ended(await signalled(server))
    await closed
    expect([code, server.output().includes('by itself')]).toEqual([1, true])
    expect(ms).toBeLessThan(6_000)
  })

  test('close() that fails is reported, with exit code 1', async () => {
    const server = await start({ CLOSE: 'fails' })
    const { code } = await server.ended(await signalled(server))
    expect(code).toBe(1)
    expect(server.output()).toContain('close went wrong')
  })

  test.each([{ CLOSE: 'hangs', HOLD: 'timer' }, { HOLD: 'timer' }])(
    '%j does not hold it for ever',
    async (env) => {
      const server = await start({ ...env, TIMEOUT_MS: '300' })
      const { code, ms } = await server.ended(await signalled(server))
      expect(code).toBe(env.CLOSE === 'hangs' ? 1 : 0)
      expect(ms).toBeLessThan(8_000)
    },
  )

  test('two signals at once are one, a later one ends it', async () => {
    const server = await start()
    const answer = exchange(server.port, 'GET /slow?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n')
    await server.said('took /slow')
    await signalled(server, 'SIGINT')
    server.child.kill('SIGINT')
    server.child.kill('SIGTERM')
    await sleep(1_200)
    expect(server.child.exitCode).toBeNull()
    const since = performance.now()
    server.child.kill('SIGINT')
    const { code, ms } = await server.ended(since)
    expect(code).toBe(130)
    // Of the minute that the request would take.
    expect(ms).toBeLessThan(5_000)
    expect(await answer).toBe('')
  })

  test('a parent that goes away ends it', async () => {
    const server = await start({}, true)
    const answer = exchange(server.port, 'GET /slow?ms=300 HTTP/1.1\r\nHost: a\r\n\r\n')
    await server.said('took /slow')
    server.child.disconnect()
    expect(await answer).toContain('done /slow')
    const { code } = await server.ended(performance.now())
    expect([code, server.output().endsWith('closing\nclosed\nby itself\n')]).toEqual([0, true])
  })

  test('an open IPC channel does not hold it', async () => {
    const server = await start({}, true)
    const { code } = await server.ended(await signalled(server))
    expect([code, server.output().endsWith('by itself\n')]).toEqual([0, true])
  })
})
