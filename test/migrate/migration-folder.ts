/** Folders of migrations that tests write on the spot. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** A temporary folder. */
export interface MigrationFolder {
  readonly path: string
  /** Adds or replaces files, with the folders that they are in. */
  write(files: Readonly<Record<string, string | Uint8Array>>): Promise<void>
  remove(...files: string[]): Promise<void>
  drop(): Promise<void>
}

export async function createFolder(
  files: Readonly<Record<string, string | Uint8Array>> = {},
): Promise<MigrationFolder> {
  const path = await mkdtemp(join(tmpdir(), 'tenantry-migrations-'))
  const folder: MigrationFolder = {
    path,
    async write(more) {
      for (const [name, text] of Object.entries(more)) {
        await mkdir(dirname(join(path, name)), { recursive: true })
        await writeFile(join(path, name), text)
      }
    },
    async remove(...names) {
      for (const name of names) await rm(join(path, name))
    },
    drop: () => rm(path, { recursive: true, force: true }),
  }
  await folder.write(files)
  return folder
}
