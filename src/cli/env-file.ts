/** Writes the two URLs into a file of variables: only where asked to, and never where git would publish them. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { TenantryError } from '../core/errors.ts'

/** One variable and the login that its URL is for. */
export interface UrlVariable {
  readonly name: 'DATABASE_URL' | 'TENANTRY_ADMIN_URL'
  readonly login: string
}

/**
 * Says no before any password exists, since it is shown only once.
 * @throws TNY034 where git tracks the file or would, or where it sets a variable to another login's URL.
 */
export function requireWritable(file: string, variables: readonly UrlVariable[]): void {
  const refuse = (reason: string, advice: string): never => {
    throw new TenantryError('TNY034', { params: { file, reason, advice } })
  }
  if (!existsSync(dirname(file))) refuse('its folder does not exist', 'Name another file.')
  const git = askGit(file)
  if (git === 'tracked')
    refuse('git tracks it', 'Name another file, or take it out of version control first.')
  if (git === 'visible') refuse('git does not ignore it', `Add it to .gitignore first.`)
  if (git === 'unknown')
    refuse('git could not be asked whether it ignores it', 'Install git, or leave --write-env out.')
  const present = existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {}
  for (const { name, login } of variables) {
    const value = present[name]
    if (value !== undefined && value !== '' && userOf(value) !== login) {
      refuse(`it sets ${name} already, for another login`, 'Remove that line, or name another file.')
    }
  }
}

/** Sets the variables and leaves every other line as it is. The file is for this user alone. */
export function writeVariables(file: string, values: Readonly<Record<string, string>>): void {
  let text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  for (const [name, value] of Object.entries(values)) {
    const line = `${name}=${value}`
    const present = new RegExp(`^\\s*(?:export\\s+)?${name}\\s*=.*$`, 'm')
    if (present.test(text)) text = text.replace(present, () => line)
    else text = `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${line}\n`
  }
  if (existsSync(file)) chmodSync(file, 0o600)
  writeFileSync(file, text, { mode: 0o600 })
}

function userOf(url: string): string | undefined {
  return URL.canParse(url) ? decodeURIComponent(new URL(url).username) : undefined
}

function askGit(file: string): 'ignored' | 'tracked' | 'visible' | 'outside' | 'unknown' {
  if (!inRepository(file)) return 'outside'
  try {
    if (git(file, 'ls-files', '--error-unmatch', '--', file) === 0) return 'tracked'
    const ignored = git(file, 'check-ignore', '--quiet', '--', file)
    return ignored === 0 ? 'ignored' : ignored === 1 ? 'visible' : 'unknown'
  } catch {
    return 'unknown'
  }
}

function inRepository(file: string): boolean {
  for (let at = dirname(resolve(file)); ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return true
    if (at === dirname(at)) return false
  }
}

/** The exit code; throws where git cannot be run. */
function git(file: string, ...args: string[]): number {
  try {
    execFileSync('git', args, { cwd: dirname(file), stdio: 'ignore' })
    return 0
  } catch (error) {
    const { status } = error as { status?: number | null }
    if (typeof status === 'number') return status
    throw error
  }
}
