/** The contract of every HTTP face: who is served, who is refused, where the context reaches, what becomes of errors. */
import { afterEach, beforeEach, describe } from 'vitest'
import { describeContext } from './contract/context.ts'
import { describeErrors } from './contract/errors.ts'
import { describeHttp2 } from './contract/http2.ts'
import { describeLeaving } from './contract/leaving.ts'
import { describeMoving } from './contract/moving.ts'
import { describeRefused } from './contract/refused.ts'
import { describeServed } from './contract/served.ts'
import { createStand, type Limits } from './contract/stand.ts'
import type { Face } from './faces/site.ts'

/** Runs the contract on a face. */
export function describeHttp(name: string, face: Face, limits: Limits = {}): void {
  describe(`${name}, as an HTTP face`, () => {
    const on = createStand(face)
    beforeEach(() => on.start())
    afterEach(() => on.close())

    describeServed(on)
    describeRefused(on, limits)
    describeMoving(on)
    describeLeaving(on)
    describeContext(on)
    describeErrors(on)
    if (limits.http2 !== false) describeHttp2(on)
  })
}
