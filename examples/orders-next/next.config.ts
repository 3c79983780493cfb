import { join } from 'node:path'
import type { NextConfig } from 'next'

const root = join(import.meta.dirname, '../..')

const config: NextConfig = {
  // In a project of yours: ['tenantry', 'pg'], and nothing below.
  serverExternalPackages: ['pg', 'libpg-query'],
  // Here `tenantry` is not installed but the sources of this repository, which are bundled.
  turbopack: {
    root,
    resolveAlias: { tenantry: '../../src/index.ts', 'tenantry/fetch': '../../src/http/fetch.ts' },
  },
}

export default config
