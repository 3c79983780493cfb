import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { Deadline } from '../../src/gateway/connection/deadline.ts'
import { waitFor } from '../support/wait-for.ts'

/** Longer than any test waits. */
const FAR_MS = 60_000

function watched(): { deadline: Deadline; passed: number[] } {
  const passed: number[] = []
  const deadline = new Deadline((ms) => passed.push(ms))
  onTestFinished(() => deadline.stop())
  return { deadline, passed }
}

test('passes once, and says what was given', async () => {
  const { deadline, passed } = watched()
  deadline.set(20)
  await waitFor(() => passed.length > 0)
  await sleep(50)
  expect(passed).toEqual([20])
})

test('a shorter one after a longer one counts, whether that was met or not', async () => {
  for (const meet of [true, false]) {
    const { deadline, passed } = watched()
    deadline.set(FAR_MS)
    if (meet) deadline.clear()
    deadline.set(20)
    await waitFor(() => passed.length > 0)
    expect(passed).toEqual([20])
  }
})

test('a longer one after a shorter one that was met is not cut short by the timer of that one', async () => {
  const { deadline, passed } = watched()
  const startedAt = performance.now()
  deadline.set(20)
  deadline.clear()
  deadline.set(200)
  await waitFor(() => passed.length > 0)
  expect(passed).toEqual([200])
  expect(performance.now() - startedAt).toBeGreaterThan(190)
})

test('one that was met, or stopped, never passes; another one can follow', async () => {
  const { deadline, passed } = watched()
  deadline.set(10)
  deadline.clear()
  await sleep(40)
  deadline.set(10)
  deadline.stop()
  await sleep(40)
  expect(passed).toEqual([])
  deadline.set(10)
  await waitFor(() => passed.length > 0)
})
