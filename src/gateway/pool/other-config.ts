/** The same server, with another database, another login or settings: the first two belong to the whole server. */
import pg from 'pg'
import { TenantryError } from '../../core/errors.ts'
import type { TenantLogin } from '../binding.ts'

/** @throws TNY002 where a name cannot stand in the URL that the connection was configured with. */
export function withDatabase(config: pg.ClientConfig, database: string): pg.ClientConfig {
  const result = { ...config, database }
  if (config.connectionString !== undefined) {
    const url = new URL(config.connectionString)
    url.pathname = `/${encodeURI(database)}`
    // What node-postgres reads from it goes before all else.
    result.connectionString = url.href
  }
  // It leaves some characters as they are encoded, and URLs have names that mean something else ('..').
  if (databaseOf(result) !== database) {
    throw new TenantryError('TNY002', {
      params: { reason: `the database ${JSON.stringify(database)} cannot be named in a postgres:// URL` },
    })
  }
  return result
}

/** As a tenant's own login. */
export function withLogin(config: pg.ClientConfig, { user, password }: TenantLogin): pg.ClientConfig {
  const result = { ...config, user, password }
  if (config.connectionString !== undefined) {
    const url = new URL(config.connectionString)
    url.username = encodeURIComponent(user)
    url.password = encodeURIComponent(password)
    result.connectionString = url.href
  }
  return result
}

/** With settings that its sessions begin with, after those that it has. Source: PostgreSQL manual, 19.1.4. */
export function withSettings(
  config: pg.ClientConfig,
  settings: Readonly<Record<string, string>>,
): pg.ClientConfig {
  const own = Object.entries(settings).map(
    ([name, value]) => `-c ${name}=${value.replaceAll(/[\\\s]/g, String.raw`\$&`)}`,
  )
  const options = [optionsOf(config) ?? [], own].flat().join(' ')
  const result = { ...config, options }
  if (config.connectionString !== undefined) {
    const url = new URL(config.connectionString)
    url.searchParams.set('options', options)
    result.connectionString = url.href
  }
  return result
}

/** What node-postgres would begin sessions with: by its configuration, or by PGOPTIONS. */
function optionsOf(config: pg.ClientConfig): string | undefined {
  // Its typings leave it out.
  const { connectionParameters } = new pg.Client(config) as unknown as {
    connectionParameters: { options?: string }
  }
  return connectionParameters.options
}

/** The database that node-postgres would connect to, its defaults included. */
export function databaseOf(config: pg.ClientConfig): string | undefined {
  return new pg.Client(config).database
}
