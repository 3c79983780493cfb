/** Runs `tenantry` as a user does: a process of its own in a project of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

export const REPOSITORY = resolve(import.meta.dirname, '../..')
export const MAIN = join(REPOSITORY, 'src/cli/main.ts')

/** What a process said. */
export interface Outcome {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A folder as of an application that has installed tenantry. */
export interface SampleProject {
  readonly folder: string
  /** Added to the environment of each command. */
  readonly env: Record<string, string>
  write(path: string, content: string): void
  /** Runs to the end. */
  run(...args: string[]): Promise<Outcome>
  /** Runs with --json and gives the document. */
  json<T>(...args: string[]): Promise<T>
  /** Starts and leaves it running. */
  start(args: readonly string[], options?: { readonly ipc?: boolean; readonly cwd?: string }): Running
  remove(): void
}

/** A process that may still run. */
export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Outcome>
  /** Resolves once stdout or stderr holds the text; rejects where the process ends before. */
  says(text: string): Promise<void>
  stdout(): string
}

export const ORDERS = `-- Up Migration
create table orders (id bigint generated always as identity primary key, customer text not null);
-- Down Migration
drop table orders;
`

/** Without the caller's connections, colours and terminal. */
function environment(extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(PG|DATABASE_URL$|TENANTRY_|FORCE_COLOR$|NO_COLOR$|NODE_OPTIONS$|VITEST)/.test(name),
  )
  return { ...Object.fromEntries(kept), ...extra }
}

/** Makes a project with `type: module`; `files` are written below its folder. */
export function createProject(
  env: Record<string, string> = {},
  files: Readonly<Record<string, string>> = {},
): SampleProject {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-cli-'))
  const write = (path: string, content: string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), content)
  }
  write('package.json', '{ "name": "sample", "type": "module" }')
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(REPOSITORY, join(folder, 'node_modules/tenantry'))
  symlinkSync(join(REPOSITORY, 'node_modules/pg'), join(folder, 'node_modules/pg'))
  for (const [path, content] of Object.entries(files)) write(path, content)

  const start: SampleProject['start'] = (args, { ipc = false, cwd = folder } = {}) => {
    const child = spawn(process.execPath, ['--conditions=tenantry-dev', MAIN, ...args], {
      cwd,
      env: environment(env),
      stdio: ['ignore', 'pipe', 'pipe', ...(ipc ? (['ipc'] as const) : [])],
    })
    // Where the parent ends the channel, Node never says 'close'.
    return watch(child, ipc ? 'exit' : 'close')
  }
  const run: SampleProject['run'] = (...args) => start(args).ended
  return {
    folder,
    env,
    write,
    start,
    run,
    async json<T>(...args: string[]) {
      const { stdout, stderr } = await run('--json', ...args)
      try {
        return JSON.parse(stdout) as T
      } catch {
        throw new Error(`no JSON on stdout: ${stdout}${stderr}`)
      }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

function watch(child: ChildProcess, last: 'exit' | 'close'): Running {
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ended = new Promise<Outcome>((done, reject) => {
    child.once('error', reject)
    child.once(last, (code: number | null, signal: NodeJS.Signals | null) =>
      done({ code, signal, stdout, stderr }),
    )
  })
  return {
    child,
    ended,
    stdout: () => stdout,
    says: (text) =>
      new Promise((done, reject) => {
        const look = (): void => {
          if (stdout.includes(text) || stderr.includes(text)) done()
        }
        child.stdout?.on('data', look)
        child.stderr?.on('data', look)
        void ended.then(() => reject(new Error(`it ended without "${text}": ${stdout}${stderr}`)))
        look()
      }),
  }
}
