/** Runs a server's file in a process that ends with the benchmark, whatever ends that: `serve.ts FILE`. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { endWithParent } from '../../dev/parent-watch.ts'

endWithParent()
await import(pathToFileURL(resolve(process.argv[2] ?? '')).href)
