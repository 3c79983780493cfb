/** A tenant's fields for logs, traces and metrics: one place for their names. */
import type { Tenant } from './tenant.ts'

/** For a line of a log: `tenant_id` to search by, `tenant_key` to read. Empty without a tenant. */
export interface LogFields {
  readonly tenant_id?: string
  readonly tenant_key?: string
}

/** For a span. Empty without a tenant. */
export interface TraceAttributes {
  readonly 'tenantry.tenant.id'?: string
  readonly 'tenantry.tenant.key'?: string
  readonly 'tenantry.tenant.plan'?: string
  readonly 'tenantry.tenant.model'?: string
}

/** For a metric: what has few values however many tenants there are. Without a tenant both are `none`. */
export interface MetricLabels {
  readonly tenant_plan: string
  readonly tenant_model: string
}

/** @example pino({ mixin: () => tenancy.logFields() }) */
export function logFields(tenant: Tenant | undefined): LogFields {
  return tenant === undefined ? {} : { tenant_id: tenant.id, tenant_key: tenant.key }
}

/** @example span.setAttributes({ ...tenancy.traceAttributes() }) */
export function traceAttributes(tenant: Tenant | undefined): TraceAttributes {
  if (tenant === undefined) return {}
  const { id, key, plan, home } = tenant
  return {
    'tenantry.tenant.id': id,
    'tenantry.tenant.key': key,
    'tenantry.tenant.plan': plan,
    'tenantry.tenant.model': home.model,
  }
}

/** A time series for each tenant would be more than a metrics server bears, and shows strangers who the tenants are. */
export function metricLabels(tenant: Tenant | undefined): MetricLabels {
  return { tenant_plan: tenant?.plan ?? 'none', tenant_model: tenant?.home.model ?? 'none' }
}
