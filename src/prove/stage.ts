/** The tenancy that attacks go through; opened anew where one of them has spoilt its connection. */
import type { AdminDatabase } from '../core/database.ts'
import type { Arena } from './arena.ts'
import { answerOf } from './observe.ts'
import { compareStates, readSeeded, readState } from './state.ts'
import type { ProofTenancy } from './ways.ts'

export interface Stage {
  readonly tenancy: ProofTenancy
  /** What attacks left on the connection that the victim uses as well; a new one is opened where there is anything. */
  leftBehind(): Promise<string[]>
  renew(): Promise<void>
  close(): Promise<void>
}

export interface StageParts {
  readonly admin: AdminDatabase
  openTenancy(options: { readonly max: number }): ProofTenancy
}

/** Where both tenants can have the same connection there is only one, so that they do. */
export async function openStage(parts: StageParts, { kind, attacker }: Arena): Promise<Stage> {
  const isShared = kind.tier === 'guarded' && attacker.home.database === undefined
  const open = (): ProofTenancy => parts.openTenancy({ max: isShared ? 1 : 4 })
  const seeded = isShared ? await readSeeded(parts.admin) : []
  let tenancy = open()
  let before = isShared ? await readState(tenancy.central, seeded) : undefined
  const close = (): Promise<void> => tenancy.close({ timeoutMs: 2_000 })

  async function renew(): Promise<void> {
    await close()
    tenancy = open()
    before = isShared ? await readState(tenancy.central, seeded) : undefined
  }
  return {
    get tenancy() {
      return tenancy
    },
    async leftBehind() {
      if (before === undefined) return []
      const known = before
      let left: string[] = []
      const answer = await answerOf(async () => {
        left = compareStates(known, await readState(tenancy.central, seeded))
        return {}
      })
      // It may keep even this question from being answered.
      if (!answer.ok) left = [`the next statement on the connection fails: ${answer.texts.join(' ')}`]
      if (left.length > 0) await renew()
      return left
    },
    renew,
    close,
  }
}
