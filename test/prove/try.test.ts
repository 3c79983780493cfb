import { expect, test } from 'vitest'
import { prove } from '../../src/prove/prove.ts'
import { createProofWorld } from './proof-world.ts'
test('try', async () => {
  const world = await createProofWorld()
  try {
    const [model, tier] = (process.env['KIND'] ?? 'schema/guarded').split('/') as ['schema', 'guarded']
    const report = await prove(world.parts(), {
      model,
      tier,
      onProgress: (l) => console.log(new Date().toISOString(), l),
    })
    const { cases, ...rest } = report
    console.log(JSON.stringify(rest, undefined, 1).slice(0, 4000))
    for (const c of cases)
      console.log(
        c.case,
        c.outcome,
        c.attacks,
        c.refusedByGuard,
        c.refusedByDatabase,
        c.withoutEffect,
        JSON.stringify(c.breaches).slice(0, 3000),
      )
    console.log(await world.leftovers())
    expect(report.failed).toBe(0)
  } finally {
    await world.close()
  }
}, 180_000)
