/** Tenants of both tiers with a canary each, and a way to log in as a sealed one without gateway and guard. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import {
  type ControlPlane,
  createControlPlane,
  createTenancy,
  type Tenancy,
  type TenancyOptions,
  type Tenant,
  type TenantModel,
  type TenantTier,
} from '../../src/index.ts'
import { createKeyring } from '../../src/isolation/master-key.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import type { ServerVersion } from '../support/versions.ts'

export const MASTER_KEY = 'the master key of these tests and long enough'

export interface SealedWorldOptions {
  readonly version?: ServerVersion | undefined
  readonly masterKey?: string | undefined
}

/** What is made of a tenant: `schema` and `sealed` by default. */
export interface TenantKind {
  readonly model?: TenantModel
  readonly tier?: TenantTier
}

export interface SealedWorld {
  readonly db: TestDatabase
  readonly plane: ControlPlane
  /** Makes a tenant whose table `notes` holds `canary of <key>` and nothing else. */
  create(key: string, kind?: TenantKind): Promise<Tenant>
  /** Another control plane, as of another process. */
  openPlane(masterKey: string): ControlPlane
  open(options?: TenancyOptions): Tenancy
  /** The URL of a sealed tenant's own login. */
  urlOf(tenant: Tenant, masterKey?: string): string
  /** That login on a plain connection, closed with the world. */
  login(tenant: Tenant, masterKey?: string): Promise<pg.Client>
  close(): Promise<void>
}

const MIGRATION = `-- Up Migration
create table notes (id bigint generated always as identity primary key, text text not null);
`

export async function createSealedWorld(options: SealedWorldOptions = {}): Promise<SealedWorld> {
  const { version, masterKey: key = MASTER_KEY } = options
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-sealed-'))
  writeFileSync(join(folder, '1_notes.sql'), MIGRATION)
  const db = await createTestDatabase({ version })
  const planes: ControlPlane[] = []
  const tenancies: Tenancy[] = []
  const clients: pg.Client[] = []
  function openPlane(masterKey: string): ControlPlane {
    const opened = createControlPlane({
      connection: db.adminUrl,
      migrations: { tenant: folder },
      masterKey,
      seed: async (tx, tenant) =>
        void (await tx.query('insert into notes (text) values ($1)', [`canary of ${tenant.key}`])),
    })
    planes.push(opened)
    return opened
  }
  const plane = openPlane(key)
  function urlOf({ id, home }: Tenant, masterKey = key): string {
    if (home.keyId === undefined) throw new Error('the tenant is not sealed')
    const password = createKeyring(masterKey).secretOf(id, home.keyId)
    const pathname = home.database ?? new URL(db.appUrl).pathname
    return Object.assign(new URL(db.appUrl), { username: home.role, password, pathname }).href
  }
  return {
    db,
    plane,
    create: (name, { model = 'schema', tier = 'sealed' } = {}) =>
      plane.tenants.create({ key: name, model, tier }),
    openPlane,
    open(tenancyOptions = {}) {
      const tenancy = createTenancy({ connection: db.appUrl, masterKey: key, ...tenancyOptions })
      tenancies.push(tenancy)
      return tenancy
    },
    urlOf,
    async login(tenant, masterKey) {
      const client = new pg.Client(urlOf(tenant, masterKey))
      client.on('error', () => undefined)
      clients.push(client)
      await client.connect()
      return client
    },
    async close() {
      await Promise.all(clients.map((client) => client.end()))
      await Promise.all(tenancies.map((tenancy) => tenancy.close({ timeoutMs: 1_000 })))
      for (const { key: name } of await plane.tenants.list({ limit: 1_000 })) {
        await plane.tenants.delete(name, { confirm: name })
      }
      await Promise.all(planes.map((opened) => opened.close()))
      await db.drop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
