/** The signal of a request: aborted where its client leaves before the answer was finished. */
import type { ServerResponse } from 'node:http'
import { TenantryError } from '../core/errors.ts'

/** For the context of one request. Its reason is TNY107; it listens until the response is closed, however it ends. */
export function requestSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController()
  const onClose = (): void => {
    if (!response.writableFinished) controller.abort(new TenantryError('TNY107'))
  }
  // Gone while the tenant was looked up: nothing will tell it a second time.
  if (response.destroyed) onClose()
  else response.once('close', onClose)
  return controller.signal
}
