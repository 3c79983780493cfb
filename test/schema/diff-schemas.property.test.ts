/** Whatever two schemas hold: each is written so that it reads the same, and the first becomes the second by the diff. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { diffSchemas } from '../../src/schema/diff/diff-schemas.ts'
import { describeOnVersions } from '../support/versions.ts'
import { randomDdl } from './random-ddl.ts'
import { createSchemaWorld, type SchemaWorld } from './schema-world.ts'

const RUNS = process.env['TENANTRY_NIGHTLY'] === undefined ? 25 : 1000

describeOnVersions('random schemas', [15, 18], (version) => {
  let world: SchemaWorld
  beforeAll(async () => (world = await createSchemaWorld(version)))
  afterAll(() => world.close())

  it('read the same from their copies, and become each other by the diff', { timeout: 600_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(randomDdl, randomDdl, async (one, other) => {
        await world.make('one', one)
        await world.make('other', other)
        const [from, to] = [await world.read('one'), await world.read('other')]
        expect(await world.render('copy', from)).toEqual(from)
        expect(diffSchemas(from, from)).toEqual({ differences: [], statements: [], unsupported: [] })
        const { differences, statements, unsupported } = diffSchemas(from, to)
        expect(unsupported).toEqual([])
        expect(differences.length > 0).toBe(from.fingerprint !== to.fingerprint)
        await world.run(
          'one',
          statements.map(({ sql }) => sql),
        )
        const repaired = await world.read('one')
        expect(diffSchemas(repaired, to).differences).toEqual([])
        expect(repaired.fingerprint).toBe(to.fingerprint)
      }),
      { numRuns: RUNS },
    )
  })
})
