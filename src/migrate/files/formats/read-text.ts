/** Reads a file of a migration: UTF-8, without a mark of its byte order. */
import { readFile } from 'node:fs/promises'
import { invalidMigration } from './migration-source.ts'

/**
 * The text of a file.
 * @param file its name for messages.
 * @throws TNY401
 */
export async function readText(path: string, file: string): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw invalidMigration(file, 'it cannot be read', error)
  })
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    throw invalidMigration(file, 'it is not UTF-8', error)
  }
  if (text.startsWith('\uFEFF'))
    throw invalidMigration(file, 'it begins with a byte order mark; save it without one')
  return text
}
