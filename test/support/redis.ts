/** A real Redis for a test file: on a port of its own, in memory, gone with the file. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { findFreePort } from '../../dev/port.ts'
import { supervise } from '../../dev/supervisor.ts'

/** A running Redis. */
export interface RedisServer {
  readonly host: string
  readonly port: number
  stop(): Promise<void>
}

/** Starts one (Debian: `apt-get install redis-server`) and waits until it answers. */
export async function startRedis(): Promise<RedisServer> {
  const [host, port] = ['127.0.0.1', await findFreePort()]
  if (port === undefined) throw new Error('no port of 127.0.0.1 is free')
  const dir = mkdtempSync(join(tmpdir(), 'tenantry-redis-'))
  const args = ['--port', String(port), '--bind', host, '--dir', dir, '--save', '', '--appendonly', 'no']
  const running = supervise({ file: 'redis-server', args, cwd: dir, account: undefined, log: 'pipe' })
  async function stop(): Promise<void> {
    await running.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  let ended = false
  void running.ended.then(() => (ended = true))
  for (let tick = 0; !(await answers(host, port)); tick += 1) {
    if (ended || tick > 500) {
      await stop()
      throw new Error(`Redis did not start: ${running.output()}`)
    }
    await sleep(20)
  }
  return { host, port, stop }
}

async function answers(host: string, port: number): Promise<boolean> {
  const client = new Redis({ host, port, lazyConnect: true, retryStrategy: () => null })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return (await client.ping()) === 'PONG'
  } catch {
    return false
  } finally {
    client.disconnect()
  }
}
