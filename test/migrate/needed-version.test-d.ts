/** Types of what runs by the version of a tenant; tsc reads this along with the rest. */
import type { Express, Request, Response } from 'express'
import { expectTypeOf } from 'vitest'
import type { Tenancy, Tenant } from '../../src/index.ts'

declare const tenancy: Tenancy
declare const app: Express

// In place, the handlers' parameters are known, as without it.
app.get(
  '/customers',
  tenancy.byVersion([
    [1700000000005, (req, res) => void res.json(req.query['last'])],
    [0, (_req, res) => void res.json([])],
  ]),
)
const find = tenancy.byVersion([
  ['1700000000005_split-name', async (id: number) => ({ id, last: 'Doe' })],
  [0, async (id: number) => ({ id, last: 'Doe' })],
])
expectTypeOf(find).toEqualTypeOf<(id: number) => Promise<{ id: number; last: string }>>()
const handle = tenancy.byVersion([[0, (req: Request, res: Response) => void res.json(req.body)]])
expectTypeOf(handle).parameters.toEqualTypeOf<[Request, Response]>()

expectTypeOf(tenancy.requireVersion('1700000000005_split-name')).toEqualTypeOf<Tenant>()
expectTypeOf(tenancy.requireTenant().version).toEqualTypeOf<number>()
// @ts-expect-error -- a list of pairs
tenancy.byVersion([(id: number) => id])
// @ts-expect-error -- what takes a number is not called with a text
void find('1')
