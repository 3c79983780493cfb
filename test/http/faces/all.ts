/** Every face, for what is shown on all of them beside the contract; loaded when it is wanted. */
import type { Face } from './site.ts'

export const FACES: Readonly<Record<string, () => Promise<Face>>> = {
  'Express 5': async () => (await import('./express.ts')).express5Face,
  'Express 4': async () => (await import('./express.ts')).express4Face,
  Fastify: async () => (await import('./fastify.ts')).fastifyFace,
  Hono: async () => (await import('./hono.ts')).honoFace,
  'Nest on Express': async () => (await import('./nest.ts')).nestExpressFace,
  'Nest on Fastify': async () => (await import('./nest.ts')).nestFastifyFace,
  'node:http': async () => (await import('./node.ts')).nodeFace,
  fetch: async () => (await import('./fetch.ts')).fetchFace,
}
