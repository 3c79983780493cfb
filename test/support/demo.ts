/** `npm run demo` for tests: in a folder of its own, on a free port. */
import { findFreePort } from '../../dev/port.ts'
import { type Program, startProgram } from './process.ts'

/** Ways to start it: the program itself, as package.json does, and as a user does. */
export const DEMO = 'examples/demo.ts'
export const WITH_BOOTSTRAP: readonly string[] = [process.execPath, 'bootstrap.mjs', DEMO]
export const WITH_NPM: readonly string[] = ['npm', 'run', 'demo', '--']

/** A demo that was started, and where it will answer. */
export interface Demo extends Program {
  readonly port: number
}

/** Starts a demo whose data are in `dir`; `said('ready')` tells when it answers. */
export async function startDemo(
  command: readonly string[],
  dir: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Demo> {
  const port = Number(env['PORT'] ?? (await freePort()))
  const program = startProgram(command, { TENANTRY_DIR: dir, PORT: String(port), ...env })
  return { ...program, port }
}

export async function freePort(): Promise<number> {
  const port = await findFreePort()
  if (port === undefined) throw new Error('no port of 127.0.0.1 is free')
  return port
}
