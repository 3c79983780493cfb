import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RawData, WebSocket, WebSocketServer } from 'ws'
import { acceptWebSockets, type WebSocketOptions } from '../../src/http/ws.ts'
import { header, subdomain, type Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { BUSY_MS, waitFor } from '../support/wait-for.ts'
import { portOf, untilClosed } from './raw-http.ts'
import { sampleTenancy, sampleTenant } from './sample-tenancy.ts'

let world: TenantWorld
let tenancy: Tenancy
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex', 'initech', 'hooli')
  tenancy = world.open()
  await tenancy.ready()
})
afterAll(() => world.close())

const opened: { server: Server; sockets: WebSocketServer; drain: () => void }[] = []
afterEach(async () => {
  for (const { server, sockets, drain } of opened.splice(0)) {
    drain()
    for (const socket of sockets.clients) socket.terminate()
    await new Promise((resolve) => server.close(resolve))
  }
})

type Options = Partial<WebSocketOptions<WebSocket>>

/** A server for `<key>.example.com`, and what a connection does. */
async function serve(
  onConnection: (socket: WebSocket, request: IncomingMessage) => void,
  options: Options = {},
): Promise<number> {
  const server = createServer((_request, response) => response.end())
  const sockets = new WebSocketServer({ noServer: true })
  sockets.on('connection', onConnection)
  const drain = acceptWebSockets(tenancy, {
    server,
    sockets,
    resolve: subdomain({ root: 'example.com' }),
    ...options,
  })
  opened.push({ server, sockets, drain })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return portOf(server)
}

function connectAs(port: number, key: string, headers: Record<string, string> = {}): WebSocket {
  return new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { host: `${key}.example.com`, ...headers } })
}

function textOf(data: RawData): string {
  return (data as Buffer).toString()
}

async function answerOf(socket: WebSocket): Promise<string> {
  const [data] = (await once(socket, 'message')) as [Buffer]
  return data.toString()
}

/** The answer to an upgrade that was refused. */
async function refusalOf(socket: WebSocket): Promise<{ status: number; body: string; headers: object }> {
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage]
  let body = ''
  for await (const chunk of response) body += String(chunk)
  return { status: response.statusCode ?? 0, body, headers: response.headers }
}

async function ownerOfOrders(): Promise<string> {
  const { rows } = await tenancy.pool.query<{ owner: string }>('select distinct owner from orders')
  return rows.map(({ owner }) => owner).join()
}

describe('acceptWebSockets', () => {
  test('A1: each message of many connections at once meets its own tenant, on one server', async () => {
    const port = await serve((socket) => {
      socket.on(
        'message',
        (data) => void ownerOfOrders().then((owner) => socket.send(`${textOf(data)} ${owner}`)),
      )
    })
    const keys = Array.from({ length: 30 }, (_, n) => ['acme', 'globex', 'initech'][n % 3] ?? '')
    const answers = await Promise.all(
      keys.map(async (key) => {
        const socket = connectAs(port, key)
        await once(socket, 'open')
        const texts: string[] = []
        for (const n of [1, 2, 3]) {
          socket.send(String(n))
          texts.push(await answerOf(socket))
        }
        socket.close()
        return texts
      }),
    )
    expect(answers).toEqual(keys.map((key) => [`1 ${key}`, `2 ${key}`, `3 ${key}`]))
  })

  test('A1: every event has the tenant, for listeners that are added later and from elsewhere too', async () => {
    const heard: string[] = []
    const note = (event: string) => () => void heard.push(`${event} ${tenancy.findTenant()?.key}`)
    let served: WebSocket | undefined
    const port = await serve((socket) => {
      served = socket
      socket.once('message', note('message'))
      socket.on('ping', note('ping'))
      socket.on('close', note('close'))
      socket.on('error', note('error'))
    })
    const socket = connectAs(port, 'acme')
    await once(socket, 'open')
    await waitFor(() => served !== undefined)
    await tenancy.run('globex', () => {
      served?.addEventListener('message', note('later'))
      // Emitted from another tenant's code.
      served?.emit('error', new Error('on purpose'))
    })
    socket.ping()
    socket.send('now')
    await waitFor(() => heard.length === 4)
    socket.close()
    await waitFor(() => heard.length === 5)
    expect(heard.toSorted()).toEqual(
      ['close', 'error', 'later', 'message', 'ping'].map((event) => `${event} acme`),
    )
  })

  test('A1: the unsafe control: without it, a listener has no tenant and its statement throws', async () => {
    const server = createServer()
    const sockets = new WebSocketServer({ server })
    opened.push({ server, sockets, drain: () => undefined })
    sockets.on('connection', (socket) => {
      socket.on('message', () => {
        ownerOfOrders().then(
          (owner) => socket.send(owner),
          (error: { code: string }) => socket.send(error.code),
        )
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const socket = connectAs(portOf(server), 'acme')
    await once(socket, 'open')
    socket.send('now')
    expect(await answerOf(socket)).toBe('TNY201')
  })

  test('binary and large messages pass as they are', async () => {
    const port = await serve((socket) => {
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
    })
    const socket = connectAs(port, 'acme')
    await once(socket, 'open')
    const large = Buffer.alloc(5_000_000, 7)
    socket.send(large)
    const [data, isBinary] = (await once(socket, 'message')) as [Buffer, boolean]
    expect([large.equals(data), isBinary]).toEqual([true, true])
  })

  test('I3: unknown and suspended tenants get the same answer, before there is a WebSocket', async () => {
    await world.plane.tenants.suspend('hooli')
    const port = await serve(() => undefined)
    await waitFor(async () => (await tenancy.directory.find({ key: 'hooli' }))?.status === 'suspended')
    const unknown = await refusalOf(connectAs(port, 'nobody'))
    expect(unknown).toMatchObject({ status: 404, body: expect.stringContaining('"code":"TNY101"') })
    expect(unknown.headers).toMatchObject({
      'content-type': 'application/problem+json',
      connection: 'close',
      'cache-control': 'no-store',
    })
    expect(await refusalOf(connectAs(port, 'hooli'))).toEqual(unknown)
    expect(await refusalOf(connectAs(port, 'not_a_key'))).toMatchObject({ status: 400 })
  })

  test('a refused client that does not close its side holds no connection', async () => {
    const port = await serve(() => undefined)
    const server = opened.at(-1)?.server as Server
    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    client.on('error', () => undefined)
    client.write(
      'GET / HTTP/1.1\r\nHost: nobody.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
    const [answer] = (await once(client, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/)
    const held = async (): Promise<number> =>
      new Promise((resolve) => server.getConnections((_error, count) => resolve(count)))
    try {
      await waitFor(async () => (await held()) === 0)
    } finally {
      client.destroy()
    }
  })

  test('a client that leaves while its tenant is moved no longer waits: its place is free for others', async () => {
    const moves = sampleTenancy([sampleTenant('nomad', 'moving')], { timeoutMs: 60_000, maxPerTenant: 1 })
    const server = createServer()
    const sockets = new WebSocketServer({ noServer: true })
    const following = { ...moves, follow: () => () => undefined }
    const drain = acceptWebSockets(following, {
      server,
      sockets,
      resolve: subdomain({ root: 'example.com' }),
      onError: () => undefined,
    })
    opened.push({ server, sockets, drain })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const port = portOf(server)
    const leaving = connect(port, '127.0.0.1')
    leaving.write(
      'GET / HTTP/1.1\r\nHost: nomad.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
    await waitFor(() => moves.asked.length >= 2)
    leaving.destroy()
    await waitFor(async () => {
      const next = connectAs(port, 'nomad')
      const refused = refusalOf(next).then(({ status }) => status)
      const early = await Promise.race([refused, sleep(50).then(() => 'waits')])
      if (early === 503) return false
      moves.change('nomad', 'active')
      await once(next, 'open')
      return true
    })
  })

  test('a path without a tenant is served without one', async () => {
    const port = await serve((socket) => socket.send(String(tenancy.findTenant()?.key)), {
      except: ['/'],
    })
    expect(await answerOf(connectAs(port, 'acme'))).toBe('undefined')
  })

  describe('C1: pages of other sites, which browsers send cookies for', () => {
    const pages = (port: number, origin: string): WebSocket => connectAs(port, 'acme', { origin })

    test('are refused; those of the own host, and those that are named, are let in', async () => {
      const port = await serve(() => undefined, { origins: ['https://app.example.com'] })
      for (const origin of [
        'https://evil.example',
        'https://globex.example.com',
        'https://acme.example.com.evil.example',
        'https://app.example.com.evil.example',
        'null',
        'file://',
      ]) {
        expect(await refusalOf(pages(port, origin)), origin).toMatchObject({ status: 403 })
      }
      for (const origin of [
        'https://acme.example.com',
        'https://ACME.example.com:8443',
        'https://app.example.com',
      ]) {
        await once(pages(port, origin), 'open')
      }
    })

    test('a decision that is none, such as the promise of one, lets nobody in', async () => {
      const origins = (async () => false) as unknown as () => boolean
      const port = await serve(() => undefined, { origins })
      const socket = connectAs(port, 'acme', { origin: 'https://evil.example' })
      expect(await refusalOf(socket)).toMatchObject({ status: 403 })
    })

    test('the unsafe control: where all are allowed, another site’s page gets in', async () => {
      const port = await serve(() => undefined, { origins: () => true })
      await once(pages(port, 'https://evil.example'), 'open')
    })

    test('I3: the answer does not depend on whether the tenant exists', async () => {
      const port = await serve(() => undefined)
      const headers = { origin: 'https://evil.example' }
      expect(await refusalOf(connectAs(port, 'acme', headers))).toEqual(
        await refusalOf(connectAs(port, 'nobody', headers)),
      )
    })
  })

  test('I8: a tenant that is suspended while connected is disconnected within a second; others stay', async () => {
    const port = await serve((socket) => {
      socket.on('message', () => void ownerOfOrders().then((owner) => socket.send(owner)))
    })
    const [globex, acme] = [connectAs(port, 'globex'), connectAs(port, 'acme')]
    await Promise.all([once(globex, 'open'), once(acme, 'open')])
    const closed = once(globex, 'close')
    const since = performance.now()
    await world.plane.tenants.suspend('globex')
    const [code] = (await closed) as [number]
    expect(code).toBe(1008)
    expect(performance.now() - since).toBeLessThan(1_000 + BUSY_MS)
    acme.send('now')
    expect(await answerOf(acme)).toBe('acme')
    await world.plane.tenants.resume('globex')
  })

  test('I8: a client that does not answer the close is cut off', async () => {
    const port = await serve(() => undefined)
    const socket = connect(port, '127.0.0.1')
    socket.write(
      'GET / HTTP/1.1\r\nHost: globex.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
    await once(socket, 'readable')
    const closed = untilClosed(socket)
    await world.plane.tenants.suspend('globex')
    await closed
    await world.plane.tenants.resume('globex')
  })

  test('a tenant that is moving stays connected, and the next message meets the newest record', async () => {
    const port = await serve((socket) => {
      socket.on('message', () =>
        socket.send(`${tenancy.requireTenant().key} ${tenancy.requireTenant().status}`),
      )
    })
    const socket = connectAs(port, 'initech')
    await once(socket, 'open')
    const { id } = world.tenants['initech'] ?? {}
    await world.db.sql(`update tenantry.tenants set status = 'moving' where id = $1`, [id])
    await waitFor(async () => {
      socket.send('now')
      return (await answerOf(socket)) === 'initech moving'
    })
    await world.db.sql(`update tenantry.tenants set status = 'active' where id = $1`, [id])
    await waitFor(async () => {
      socket.send('now')
      return (await answerOf(socket)) === 'initech active'
    })
  })

  test('a listener for connections that throws ends its own connection alone', async () => {
    const errors: unknown[] = []
    const port = await serve(
      () => {
        if (tenancy.requireTenant().key === 'acme') throw new Error('on purpose')
      },
      { onError: (error) => errors.push(error) },
    )
    await once(connectAs(port, 'acme'), 'close')
    await once(connectAs(port, 'globex'), 'open')
    expect(errors).toMatchObject([{ message: 'on purpose' }])
  })

  test('clients that leave while their tenant is looked up do not disturb the server', async () => {
    const port = await serve(() => undefined, { resolve: header('x-tenant') })
    for (let n = 0; n < 20; n += 1) {
      const socket = connect(port, '127.0.0.1', () => {
        socket.write(
          'GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: acme\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
            'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
        )
        socket.resetAndDestroy()
      })
      await untilClosed(socket)
    }
    await once(connectAs(port, 'x', { 'x-tenant': 'acme' }), 'open')
  })
})
