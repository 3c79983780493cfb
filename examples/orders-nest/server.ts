/** Runs main.ts unbuilt. Node itself knows no decorators: swc compiles them, as it does in `nest start --builder swc`. */
import { transformFileSync } from '@swc/core'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'

const here = new URL('.', import.meta.url).href

registerHooks({
  load(url, context, nextLoad) {
    if (!url.startsWith(here)) return nextLoad(url, context)
    const { code } = transformFileSync(fileURLToPath(url), {
      swcrc: false,
      sourceMaps: 'inline',
      module: { type: 'es6' },
      jsc: {
        target: 'es2024',
        parser: { syntax: 'typescript', decorators: true },
        transform: { legacyDecorator: true, decoratorMetadata: true },
      },
    })
    return { format: 'module', source: code, shortCircuit: true }
  },
})

await import('./main.ts')
