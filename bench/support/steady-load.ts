/** Load that does not wait for answers: a slow answer delays no later question, so that none is left out. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from './random.ts'

/** Sources that each ask at a rate of their own, whatever the others do. */
export interface SteadyLoad {
  readonly sources: number
  /** Of each source. */
  readonly perSecond: number
  readonly ms: number
}

/** @returns how long each task took, in milliseconds. @throws what a task throws */
export async function steadyLoad(
  load: SteadyLoad,
  task: (source: number) => Promise<unknown>,
): Promise<number[]> {
  const random = createRandom(load.sources)
  const times: number[] = []
  const startedAt = performance.now()
  const run = async (source: number): Promise<void> => {
    const askedAt = performance.now()
    await task(source)
    times.push(performance.now() - askedAt)
  }
  const ask = async (source: number): Promise<void> => {
    const tasks: Promise<void>[] = []
    // Irregular, as people are: sources in step would stand in each other's way.
    let dueAt = startedAt + (random() * 1_000) / load.perSecond
    for (; dueAt < startedAt + load.ms; dueAt += ((0.5 + random()) * 1_000) / load.perSecond) {
      const wait = dueAt - performance.now()
      if (wait > 0) await sleep(wait)
      tasks.push(run(source))
    }
    await Promise.all(tasks)
  }
  await Promise.all(Array.from({ length: load.sources }, (_, source) => ask(source)))
  return times
}
