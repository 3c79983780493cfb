import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { RUN, startProgram } from '../support/process.ts'

test('drainOnSignal: WebSockets are closed with 1001 when the signal comes, and the process ends in good order', async () => {
  const program = startProgram([...RUN, fileURLToPath(new URL('ws-drain-fixture.ts', import.meta.url))], {})
  try {
    await program.said('port ')
    const port = Number(/port (\d+)/.exec(program.stdout())?.[1])
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`)
    await once(socket, 'open')
    program.signal('SIGTERM')
    const [code] = (await once(socket, 'close')) as [number]
    expect(code).toBe(1001)
    // Cut-off connections would make it 1.
    expect(await program.ended).toEqual({ code: 0, signal: null })
  } finally {
    program.signal('SIGKILL')
  }
})
