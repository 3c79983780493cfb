import { afterAll, beforeAll, expect, test } from 'vitest'
import { createControlPlane } from '../../src/control-plane.ts'
import { createTenancy } from '../../src/tenancy.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { describeOnVersions } from '../support/versions.ts'

describeOnVersions('the foundation', undefined, (version) => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createTestDatabase({ version })
  })
  afterAll(() => database.drop())

  test('runs on it: a tenant is created and served, and another is not seen', async () => {
    const [server] = await database.sql<{ major: number }>(
      "select current_setting('server_version_num')::int / 10000 as major",
    )
    expect(server).toEqual({ major: version })
    const plane = createControlPlane({ connection: database.adminUrl, migrations: {} })
    const tenancy = createTenancy({ connection: database.appUrl })
    try {
      for (const key of ['acme', 'globex']) {
        const { home } = await plane.tenants.create({ key })
        await database.sql(`set role ${home.ownerRole}; create table ${home.schema}.notes (text text)`)
        await tenancy.poolFor(key).query('insert into notes values ($1)', [key])
      }
      expect((await tenancy.poolFor('acme').query('select text from notes')).rows).toEqual([{ text: 'acme' }])
    } finally {
      await Promise.all([tenancy.close(), plane.close()])
    }
  })
})
