/** Listeners of an emitter that run in a context of their own, whoever emits. */
import type { EventEmitter } from 'node:events'

/**
 * From now on all listeners of this emitter run inside `within`, also those that were added before and those that are
 * added later. Of several calls for one emitter the first decides, since its context is the innermost.
 */
export function emitWithin<E extends EventEmitter>(emitter: E, within: (emit: () => boolean) => boolean): E {
  const { emit } = emitter
  emitter.emit = (...args: Parameters<typeof emit>) => within(() => emit.apply(emitter, args))
  return emitter
}
