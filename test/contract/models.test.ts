import type { TenantModel, TenantTier } from '../../src/index.ts'
import { SERVER_VERSIONS } from '../support/versions.ts'
import { describeModel } from './describe-model.ts'

const MODELS: readonly TenantModel[] = ['shared', 'schema', 'database']
const TIERS: readonly TenantTier[] = ['guarded', 'sealed']

for (const version of SERVER_VERSIONS) {
  for (const by of ['direct', 'PgBouncer'] as const) {
    for (const model of MODELS) {
      for (const tier of TIERS) describeModel({ model, tier, version, by })
    }
  }
}
