/** An example backend as a process of its own, on a database that the test chooses. */
import { join } from 'node:path'
import { type ControlPlane, createControlPlane } from '../../src/index.ts'
import { type Answer, get } from '../http/raw-http.ts'
import { freePort } from './demo.ts'
import { type Program, PROJECT, RUN, startProgram } from './process.ts'
import { waitFor } from './wait-for.ts'

/** The folder, below examples/. */
const EXAMPLE = 'orders-express'

/** A running backend. */
export interface ExampleServer extends Program {
  readonly port: number
  /** One request on a connection of its own; `host` without port: 'acme.localhost'. */
  ask(host: string, path: string, options?: Parameters<typeof get>[3]): Promise<Answer>
  /** POST of JSON. */
  post(host: string, path: string, json: unknown): Promise<Answer>
  /** SIGTERM, and how it ended. */
  stop(): Promise<number | null>
}

/** Starts it and waits until it answers. */
export async function startExample(
  urls: { readonly appUrl: string; readonly adminUrl: string },
  env: Readonly<Record<string, string>> = {},
  example: string = EXAMPLE,
): Promise<ExampleServer> {
  const port = await freePort()
  const program = startProgram([...RUN, `examples/${example}/server.ts`], {
    DATABASE_URL: urls.appUrl,
    TENANTRY_ADMIN_URL: urls.adminUrl,
    PORT: String(port),
    ...env,
  })
  const ask: ExampleServer['ask'] = (host, path, options) => get(port, host, path, options)
  let failed = false
  program.ended.then(
    () => (failed = true),
    () => (failed = true),
  )
  await waitFor(async () => {
    if (failed) throw new Error(`the example ended: ${program.stderr()}`)
    return ask('localhost', '/healthz').then(
      ({ status }) => status === 200,
      () => false,
    )
  }, 40_000)
  return {
    ...program,
    port,
    ask,
    post: (host, path, json) =>
      ask(host, path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: typeof json === 'string' ? json : JSON.stringify(json),
      }),
    async stop() {
      program.signal('SIGTERM')
      return (await program.ended).code
    },
  }
}

/** The control plane that a second process of the same SaaS would have, with the example's migrations applied. */
export async function exampleControl(adminUrl: string): Promise<ControlPlane> {
  const folder = join(PROJECT, 'examples', EXAMPLE, 'migrations')
  const control = createControlPlane({
    connection: adminUrl,
    migrations: { shared: join(folder, 'shared'), tenant: join(folder, 'tenant') },
  })
  const { failed } = await control.migrate.up()
  for (const { error } of failed) throw error
  return control
}
