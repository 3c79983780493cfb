/** Whether a folder of migrations is as it was, without reading what is in its files. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** One text for all names, sizes and times; '' where there is no such folder. */
export async function folderState(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true }).catch((error: unknown) => {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  })
  const states = await Promise.all(
    entries.map(async (name) => {
      // A file that vanishes meanwhile is a change too.
      const file = await stat(join(folder, name)).catch(() => undefined)
      return [name, file?.size, file?.mtimeMs, file?.ctimeMs].join('\t')
    }),
  )
  return states.toSorted((a, b) => (a < b ? -1 : 1)).join('\n')
}
