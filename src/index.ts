/** The public entry: everything an application imports from 'tenantry'. */
export { createControlPlane } from './control-plane.ts'
export type { ControlPlane, ControlPlaneEvents, ControlPlaneOptions } from './control-plane.ts'
export type { TenantFollower } from './catalog/follow-tenants.ts'
export type {
  ForEachTenantOptions,
  ForEachTenantReport,
  TenantFailure,
  TenantProgress,
} from './catalog/for-each-tenant.ts'
export type { CacheKeyPart } from './core/cache-key.ts'
export { defineConfig } from './core/config.ts'
export type { Gate, Wave, WaveResult } from './core/waves.ts'
export type {
  ConnectionOptions,
  ConnectionSpec,
  MigrationFolder,
  MigrationConfig,
  MigrationFolders,
  MigrationFormat,
  Seed,
  TenantryConfig,
} from './core/config.ts'
export type { RunOptions } from './core/context.ts'
export type { Queryable, Rows } from './core/database.ts'
export { ERRORS, TenantryError } from './core/errors.ts'
export type { ErrorCode, ErrorDefinition } from './core/errors.ts'
export type { TenancyEvents } from './core/events.ts'
export type { ApiKey, ApiKeyDirectory, TenantDirectory, TenantRef, TenantRuntime } from './core/runtime.ts'
export { keyProblem, newKeyProblem } from './core/tenant.ts'
export type {
  Home,
  Plan,
  Register,
  Settings,
  Tenant,
  TenantModel,
  TenantStatus,
  TenantTier,
} from './core/tenant.ts'
export type { ApiKeyRecord } from './catalog/api-key-store.ts'
export { domainProblem } from './core/domain.ts'
export type { TenantLimits } from './gateway/binding.ts'
export type { GatewayClient } from './gateway/pg-pool/gateway-client.ts'
export type { GatewayPool } from './gateway/pg-pool/gateway-pool.ts'
export type { GatewayQuery, GatewayQueryConfig } from './gateway/pg-pool/query-arguments.ts'
export type { IsolationLevel, TransactionOptions } from './gateway/pg-pool/transact.ts'
export type { SqlQuery, SqlTag } from './gateway/pg-pool/sql-tag.ts'
export type { TransactionPolicy } from './gateway/pg-pool/transaction-scopes.ts'
export type { ApiKeyAdministration, CreateApiKey } from './lifecycle/api-keys.ts'
export type {
  DomainAdministration,
  DomainToVerify,
  TenantDomain,
  VerifyOptions,
} from './lifecycle/domains.ts'
export type {
  FillOptions,
  FillReport,
  PoolStatus,
  ReadyHome,
  ReadyHomes,
} from './lifecycle/ready-homes/ready-homes.ts'
export type { RecheckOptions, RecheckReport } from './lifecycle/recheck-domains.ts'
export type { SecretAdministration, SecretKey, SecretRotation } from './lifecycle/rotate-secrets.ts'
export type { Enforcement } from './isolation/open-rights.ts'
export type { LintFinding, LintSeverity } from './isolation/lint/finding.ts'
export type { LintOptions } from './isolation/lint/lint-database.ts'
export type { LookupTxt } from './lifecycle/txt-lookup.ts'
export type { TenantAdministration } from './lifecycle/tenant-administration.ts'
export { reportFailure } from './migrate/fleet/migration-report.ts'
export type { MigrationVersion, VersionRoutes } from './migrate/needed-version.ts'
export type { MigrationReport, MigrationStatus } from './migrate/fleet/migration-report.ts'
export type { LintLevel, MigrationLintSettings, MigrationRuleName } from './core/migration-lint.ts'
export type { MigrationFinding } from './migrate/lint/lint-migrations.ts'
export type { MigrationPlan } from './migrate/plan/migration-plan.ts'
export type { MigrationEvent, MigrationProgress } from './migrate/fleet/run-events.ts'
export { apiKey } from './resolve/api-key.ts'
export type { ApiKeyOptions } from './resolve/api-key.ts'
export { allMustAgree, firstOf } from './resolve/combine.ts'
export { cookie } from './resolve/cookie.ts'
export type { CookieOptions } from './resolve/cookie.ts'
export { credentialOf, requireCredential, requireScope } from './resolve/credential.ts'
export type { Credential, TokenClaims } from './resolve/credential.ts'
export { customDomain } from './resolve/custom-domain.ts'
export { createDomainAsk } from './resolve/domain-ask.ts'
export type { DomainAsk, DomainAskOptions } from './resolve/domain-ask.ts'
export { header } from './resolve/header.ts'
export { jwt } from './resolve/jwt.ts'
export type { JwtChecks, JwtKeys, JwtOptions, TokenAlgorithm } from './resolve/jwt.ts'
export { pathPrefix } from './resolve/path-prefix.ts'
export type { PathPrefixOptions } from './resolve/path-prefix.ts'
export type { ResolvableRequest } from './resolve/resolvable-request.ts'
export type { Resolution, Resolver } from './resolve/resolver.ts'
export { subdomain } from './resolve/subdomain.ts'
export { sql } from './sql/template.ts'
export type { SqlBuilder, SqlBuilders, SqlFragment } from './sql/template.ts'
export type { TokenSource } from './resolve/token-source.ts'
export type { LogFields, MetricLabels, TraceAttributes } from './core/tenant-fields.ts'
export { createTenancy } from './tenancy.ts'
export type { Tenancy, TenancyHealth } from './tenancy-members.ts'
export type { TenancyOptions } from './tenancy-options.ts'
