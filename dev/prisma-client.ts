/** Makes a PrismaClient of a schema by `prisma generate`, for tests and benchmarks, where git does not see it. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

/** Inside the repository, where the generated code finds `@prisma/client`. */
const PLACE = join(import.meta.dirname, '../.tenantry')

const head = (settings: string): string => `
generator client {
  provider = "prisma-client"
  output   = "./generated"
  runtime  = "nodejs"
  importFileExtension = "ts"
  ${settings}
}
datasource db {
  provider = "postgresql"
}
`

export interface GeneratedPrisma<Module> {
  /** What the generated `client.ts` exports. */
  readonly module: Module
  /** Removes the generated code. */
  remove(): void
}

/**
 * In a folder of its own.
 * @param models the models of a Prisma schema, without generator and datasource.
 * @param settings more of the generator's.
 */
export async function generatePrisma<Module>(
  models: string,
  settings = '',
): Promise<GeneratedPrisma<Module>> {
  mkdirSync(PLACE, { recursive: true, mode: 0o700 })
  const folder = mkdtempSync(join(PLACE, 'prisma-'))
  const schema = join(folder, 'schema.prisma')
  writeFileSync(schema, head(settings) + models)
  await runPrismaGenerate(schema)
  const module = (await import(/* @vite-ignore */ join(folder, 'generated/client.ts'))) as Module
  return { module, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** @param schema the path of a whole schema; its generator says where the code goes. */
export async function runPrismaGenerate(schema: string): Promise<void> {
  const program = join(
    dirname(createRequire(import.meta.url).resolve('prisma/package.json')),
    'build/index.js',
  )
  await promisify(execFile)(process.execPath, [program, 'generate', '--schema', schema], {
    // The engine is not needed to generate, and would be downloaded.
    env: {
      ...process.env,
      PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true',
      CHECKPOINT_DISABLE: '1',
      PRISMA_HIDE_UPDATE_MESSAGE: '1',
    },
    cwd: dirname(schema),
  })
}
