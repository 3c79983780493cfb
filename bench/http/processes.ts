/** The processes of the HTTP benchmark: servers and the client, each of them alone in its own. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findFreePort } from '../../dev/port.ts'
import type { Throughput } from '../support/closed-loop.ts'
import type { LoadOrder, LoadReport } from './load.ts'

const ROOT = join(import.meta.dirname, '../..')

/** A server that answers. */
export interface ServerProcess {
  readonly port: number
  readonly pid: number
  stop(): Promise<void>
}

/** A backend and the hosts that it is asked by. */
export interface Contender extends ServerProcess {
  readonly name: string
  readonly about: string
  readonly hosts: LoadOrder['hosts']
}

/** The process that loads servers. */
export interface LoadProcess {
  /** @throws where an answer was wrong */
  run(order: LoadOrder): Promise<Throughput>
  stop(): Promise<void>
}

/** Starts a file of this repository as a server and waits until /healthz answers. */
export async function startServer(
  file: string,
  env: Readonly<Record<string, string>>,
): Promise<ServerProcess> {
  const port = await findFreePort()
  if (port === undefined) throw new Error('no port of 127.0.0.1 is free')
  const child = start('serve.ts', [file], { ...env, PORT: String(port) })
  while (!(await isUp(port))) {
    if (child.exitCode !== null) throw new Error(`${file} ended with ${child.exitCode}`)
    await sleep(50)
  }
  return { port, pid: child.pid ?? 0, stop: () => end(child) }
}

/** Starts the client. */
export function startLoad(): LoadProcess {
  const child = start('load.ts')
  const ended = once(child, 'exit').then(() => [{ error: 'the client ended' }])
  return {
    async run(order) {
      const answer = Promise.race([once(child, 'message'), ended])
      child.send(order)
      const [report] = (await answer) as [LoadReport]
      if ('error' in report) throw new Error(report.error)
      return report
    },
    stop: () => end(child),
  }
}

function start(script: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): ChildProcess {
  return fork(join(import.meta.dirname, script), args, {
    cwd: ROOT,
    execArgv: ['--conditions=tenantry-dev'],
    env: { ...process.env, NODE_ENV: 'production', TENANTRY_PARENT: String(process.pid), ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await ended
  clearTimeout(timer)
}

async function isUp(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/healthz`).then(
    ({ ok }) => ok,
    () => false,
  )
}
