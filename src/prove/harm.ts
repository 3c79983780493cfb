/** Which attacks may take effect for good, were they let through: those that reach no further than the two tenants. */

/** After comments and what people put before a statement. */
const HARMLESS_START =
  /^(?:\s|;|\/\*.*?\*\/|--[^\n]*\n)*(?:select|insert|update|delete|merge|with|values|table|set|reset|declare|prepare|execute|deallocate|discard|listen|unlisten|begin|commit|rollback|end|abort|show|explain|lock|copy|truncate|close|release|create\s+(?:\w+\s+){0,3}temp)/is

/** Roles, catalogs, functions of the server, definitions: what others may depend on. */
const FAR_REACHING =
  /\b(?:tenantry\.(?!proof)\w+|pg_roles|pg_class|pg_db_role_setting|pg_largeobject\w*|drop|alter|grant|revoke|reassign|owner|public\.|program|lo_\w+|lowrite|loread|pg_(?:notify|reload_conf|switch_wal|terminate_backend|cancel_backend|backup_\w+|stat_reset\w*|create_\w+|drop_\w+|export_\w+|logical_\w+|replication_\w+|file_\w+)|notify|dblink\w*|binary_upgrade\w*|prepared)\b/i

/**
 * Whether a statement may be committed. All others are tried in transactions that are rolled back, where the guard judges
 * them no differently.
 */
export function mayBeCommitted(sql: string): boolean {
  return HARMLESS_START.test(sql) && !FAR_REACHING.test(sql)
}

/**
 * Statements that set who the session acts as, or end the transaction that the role was entered for: what a login that
 * may enter roles can always say (tier `guarded`).
 */
export function leavesContext(sql: string): boolean {
  return /(?:^|;)(?:\s|\/\*.*?\*\/|--[^\n]*\n)*(?:set|reset|discard|commit|rollback|end|abort)\b/is.test(sql)
}

/** Statements that leave nothing on a session even where they are let through: fit for one that strangers use next. */
export function leavesNothing(sql: string): boolean {
  return (
    /^\W*(?:select|table|values|with|insert|update|delete|merge)\b/i.test(sql) &&
    !/config|advisory|setseed|set_limit|lo_|pg_settings|fsettings|temp\b|temporary|;/i.test(sql)
  )
}

/**
 * Whether a statement could leave something that no end of its transaction takes back, and that would hold up others: a
 * prepared transaction, on servers that have them.
 */
export function isIrrevocable(sql: string): boolean {
  return /\bprepare\s+transaction\b/i.test(sql)
}
