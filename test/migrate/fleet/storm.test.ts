/** M2, M3: runners are killed again and again. 15 times over 40 schemas; 500 times over 300 with TENANTRY_NIGHTLY=1. */
import { afterEach, expect, test } from 'vitest'
import { createFleetWorld, type FleetWorld } from './fleet-world.ts'
import { expectNoDrift, storm } from './storm.ts'

const NIGHTLY = process.env['TENANTRY_NIGHTLY'] === '1'
const [KILLS, SCHEMAS] = NIGHTLY ? [500, 300] : [15, 40]
const TIMEOUT = NIGHTLY ? 3_000_000 : 180_000

let world: FleetWorld
afterEach(() => world.drop())

/** mulberry32: the same storm for the same seed, as far as the machine lets it. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

test.each([
  { title: 'M2: a runner that is killed again and again', runners: 1, share: 0.6 },
  { title: 'M3: two runners at once, killed again and again', runners: 2, share: 0.4 },
])('$title leaves each step exactly once, and no drift', { timeout: TIMEOUT }, async ({ runners, share }) => {
  world = await createFleetWorld(SCHEMAS)
  const seed = Date.now() % 1_000_000
  const kills = Math.ceil(KILLS * share)
  const { migrations, survivors } = await storm(world, { kills, runners, random: randomFrom(seed) })
  console.log(
    `seed ${seed}: ${kills} kills, ${survivors} runners ended by themselves, ${migrations} migrations`,
  )
  expect(migrations).toBeGreaterThan(1)
  await expectNoDrift(world, migrations)
})
