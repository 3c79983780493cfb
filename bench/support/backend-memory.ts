/** How much memory the server's processes have to themselves (Linux). */
import { readFileSync } from 'node:fs'
import pg from 'pg'

/** Of all connections of one login. */
export interface BackendMemory {
  readonly backends: number
  /** Private memory of all of them together, in megabytes of 1,000,000 bytes. */
  readonly mb: number
}

/** @param superuserUrl sees who is connected. */
export async function readBackendMemory(superuserUrl: string, login: string): Promise<BackendMemory> {
  const client = new pg.Client(superuserUrl)
  await client.connect()
  try {
    const { rows } = await client.query<{ pid: number }>(
      'select pid from pg_stat_activity where usename = $1',
      [login],
    )
    const bytes = rows.map(({ pid }) => privateBytes(readFileSync(`/proc/${pid}/smaps`, 'utf8')))
    return { backends: rows.length, mb: bytes.reduce((sum, one) => sum + one, 0) / 1e6 }
  } finally {
    await client.end()
  }
}

/**
 * Private pages of the mappings that are private. smaps_rollup would also count pages of shared_buffers that one
 * process alone has looked at so far: they are "private" to the kernel, and are not the backend's.
 * @param smaps as in proc(5)
 */
export function privateBytes(smaps: string): number {
  let bytes = 0
  let isShared = false
  for (const line of smaps.split('\n')) {
    const mapping = /^[0-9a-f]+-[0-9a-f]+ ..(.)(.) /.exec(line)
    if (mapping !== null) isShared = mapping[2] === 's'
    const pages = isShared ? null : /^Private_(?:Clean|Dirty): +(\d+) kB$/.exec(line)
    if (pages !== null) bytes += Number(pages[1]) * 1024
  }
  return bytes
}
