/** The files that `tenantry init` adds to a project. None is ever overwritten. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { folderOf } from '../core/config.ts'
import { CONFIG_FILES, type Project } from './load-config.ts'

/** One file or folder, and whether it was made now. */
export interface ProjectFile {
  /** Relative to the project's folder. */
  readonly path: string
  readonly status: 'created' | 'exists'
}

const CONFIG = `import { defineConfig } from 'tenantry'

export default defineConfig({
  // Relative to this file. The format is node-pg-migrate's: -- Up Migration, -- Down Migration.
  migrations: { shared: 'migrations/shared', tenant: 'migrations/tenant' },
  // First rows of each new tenant: a SQL file, or a function (db, tenant) => Promise<void>.
  // seed: 'migrations/seed.sql',
  // connection and admin default to the variables DATABASE_URL and TENANTRY_ADMIN_URL.
})
`

const SHARED = `-- Up Migration
-- Runs once, in schema public. Tenants see of it what is granted to tenantry_tenants.
create table announcements (
  id bigint generated always as identity primary key,
  text text not null,
  published_at timestamptz not null default now()
);
grant select on announcements to tenantry_tenants;

-- Down Migration
drop table announcements;
`

const TENANT = `-- Up Migration
-- Runs once in each tenant's own schema, so names need no schema and rows no tenant_id.
create table orders (
  id bigint generated always as identity primary key,
  customer text not null,
  amount numeric(12, 2) not null,
  created_at timestamptz not null default now()
);

-- Down Migration
drop table orders;
`

/** Adds what is missing. A folder that holds anything is left as it is: its migrations are somebody's own. */
export function addProjectFiles(project: Project): ProjectFile[] {
  const { folder, migrations } = project
  const files: ProjectFile[] = []
  const config = project.file ?? join(folder, configName(folder))
  files.push(addFile(folder, config, CONFIG))
  files.push(addMigration(folder, folderOf(migrations.shared), '0001_announcements.sql', SHARED))
  files.push(addMigration(folder, folderOf(migrations.tenant), '0001_orders.sql', TENANT))
  return files
}

function addMigration(folder: string, into: string, name: string, content: string): ProjectFile {
  if (existsSync(into) && readdirSync(into).length > 0)
    return { path: relative(folder, into), status: 'exists' }
  return addFile(folder, join(into, name), content)
}

function addFile(folder: string, path: string, content: string): ProjectFile {
  const shown = relative(folder, path)
  mkdirSync(dirname(path), { recursive: true })
  try {
    // wx: never over a file that appeared in between.
    writeFileSync(path, content, { flag: 'wx' })
    return { path: shown, status: 'created' }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return { path: shown, status: 'exists' }
    throw error
  }
}

/** In a CommonJS package a .ts file cannot hold `import`; .mts always can. */
function configName(folder: string): string {
  const [ts = '', mts = ''] = CONFIG_FILES
  try {
    const { type } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { type?: unknown }
    return type === 'module' ? ts : mts
  } catch {
    return ts
  }
}
