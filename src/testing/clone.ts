/** Clones of a template: one for each test file, dropped with it or after its process has died. */
import { randomBytes } from 'node:crypto'
import { quoteIdent } from '../sql/quote.ts'
import { sqlState } from '../sql/sql-state.ts'
import {
  dropRoles,
  findTemplate,
  lockOf,
  makeTemplate,
  rightsOf,
  rolesIn,
  sweepTemplates,
  templateName,
  whereFree,
} from './template.ts'
import type { TemplateInput } from './fingerprint.ts'
import type { TestServer } from './test-server.ts'

/** A name that says which template it comes from. */
export function newCloneName({ prefix }: TestServer, fingerprint: string): string {
  return `${prefix}${fingerprint}_${randomBytes(4).toString('hex')}`
}

/** What a clone is made from. */
export interface CloneSource {
  readonly fingerprint: string
  readonly input: TemplateInput
}

/** Makes the database, from its template, which is made where there is none. @returns the template's roles */
export async function makeClone(
  server: TestServer,
  name: string,
  { fingerprint, input }: CloneSource,
): Promise<readonly string[]> {
  const { session, logins } = server
  const template = templateName(server, fingerprint)
  // For as long as this session lives: a clone whose lock is free is a dead process's.
  await session.query(`select pg_advisory_lock(${lockOf(name)})`)
  for (let attempt = 1; ; attempt += 1) {
    const roles = (await findTemplate(server, template)) ?? (await makeTemplate(server, template, input))
    try {
      const strategy = await strategyOf(server)
      await session.query(
        `create database ${quoteIdent(name)} template ${quoteIdent(template)} strategy ${strategy}`,
      )
      await session.query(rightsOf(name, logins))
      return roles
    } catch (error) {
      // undefined_database: another run has found it too old just now.
      if (sqlState(error) !== '3D000' || attempt === 3) throw error
    }
  }
}

/** Copying files is a third quicker, unless the server waits for the disk at the two checkpoints around it. */
async function strategyOf({ session }: TestServer): Promise<string> {
  const { rows } = await session.query<{ fsync: string }>("select current_setting('fsync') as fsync")
  return rows[0]?.fsync === 'off' ? 'file_copy' : 'wal_log'
}

/** Drops a clone, with whatever is in it: databases and roles of tenants that a test has made, and sessions. */
export async function dropClone(
  server: TestServer,
  name: string,
  templateRoles: readonly string[],
): Promise<void> {
  const { session } = server
  const roles = await rolesIn(server, name).catch((error: unknown) => {
    // It is gone already.
    if (sqlState(error) === '3D000') return []
    throw error
  })
  const { rows } = await session.query<{ name: string; template: boolean }>(
    `select datname as name, datistemplate as template from pg_database
     where shobj_description(oid, 'pg_database') like 'tenantry: % in ' || $1`,
    [name],
  )
  for (const each of rows) {
    if (each.template) await session.query(`alter database ${quoteIdent(each.name)} is_template false`)
    await session.query(`drop database if exists ${quoteIdent(each.name)} with (force)`)
  }
  await session.query(`drop database if exists ${quoteIdent(name)} with (force)`)
  const kept = new Set(templateRoles)
  await dropRoles(
    server,
    roles.filter((role) => !kept.has(role)),
  )
}

/**
 * Removes what dead runs have left, and templates that nobody has used for long.
 * @param own a clone whose lock this very session holds, and so would be given again.
 */
export async function sweep(server: TestServer, fingerprint: string, own: string): Promise<void> {
  const { session, prefix } = server
  const { rows } = await session.query<{ name: string }>(
    'select datname as name from pg_database where datname ~ $1 and datname <> $2',
    [`^${prefix}[0-9a-f]{16}_[0-9a-f]{8}$`, own],
  )
  for (const { name } of rows) {
    await whereFree(session, name, async () => {
      const template = templateName(server, name.slice(prefix.length, prefix.length + 16))
      await dropClone(server, name, (await findTemplate(server, template)) ?? [])
    })
  }
  await sweepTemplates(server, templateName(server, fingerprint))
}
