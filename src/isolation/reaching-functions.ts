/** Functions that everybody may call and that reach beyond a tenant: those known today, and those of the running version. */
import type { Queryable } from '../core/database.ts'

/**
 * Run SQL given as text, tell other sessions, reach the log stream, show what other tenants prepared, or leave state
 * behind (FINDINGS 7, 15). Those of extensions count where the extension is installed.
 */
const KNOWN = (
  'set_config setseed pg_notify pg_prepared_statement ' +
  'query_to_xml query_to_xml_and_xmlschema query_to_xmlschema cursor_to_xml cursor_to_xmlschema ' +
  'table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema ' +
  'schema_to_xml_and_xmlschema database_to_xml database_to_xmlschema database_to_xml_and_xmlschema ' +
  'ts_stat ts_rewrite crosstab crosstab2 crosstab3 crosstab4 crosstabn connectby xpath_table ' +
  'pg_cancel_backend pg_terminate_backend pg_reload_conf pg_rotate_logfile pg_promote pg_switch_wal ' +
  'pg_create_restore_point pg_backup_start pg_backup_stop pg_export_snapshot set_limit'
).split(' ')

/** The same by their beginnings; read by JavaScript and by PostgreSQL. */
const FAMILIES =
  '^(dblink|lo_|lo(read|write|import|export|creat)$|pg_(try_)?advisory_|pg_read_|pg_ls_|pg_file_|pg_stat_file|' +
  'pg_stat_reset|pg_replication_|pg_logical_|pg_(create|drop|copy|sync)_[a-z_]*slots?$|' +
  'pg_(clear|restore)_[a-z]+_stats$|binary_upgrade_|postgres_fdw)'

/**
 * Volatile functions of PostgreSQL 15 to 18 that were read one by one and found harmless: they read, wait, or touch only
 * what the caller has rights on. A volatile function that is not among them counts as reaching, so that a version that
 * brings new ones is not trusted blindly.
 */
const HARMLESS_VOLATILE = (
  'amvalidate array_sample array_shuffle brin_desummarize_range brin_summarize_new_values brin_summarize_range ' +
  'clock_timestamp current_query currtid2 currval gen_random_uuid gin_clean_pending_list lastval nextval setval ' +
  'pg_available_wal_summaries pg_blocking_pids pg_collation_actual_version pg_control_checkpoint pg_control_init ' +
  'pg_control_recovery pg_control_system pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn ' +
  'pg_database_collation_actual_version pg_database_size pg_extension_config_dump pg_get_loaded_modules ' +
  'pg_get_multixact_members pg_get_sequence_data pg_get_wait_events pg_get_wal_replay_pause_state ' +
  'pg_get_wal_resource_managers pg_get_wal_summarizer_state pg_indexes_size pg_is_in_recovery ' +
  'pg_is_wal_replay_paused pg_isolation_test_session_is_blocked pg_jit_available pg_last_committed_xact ' +
  'pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status ' +
  'pg_notification_queue_usage pg_partition_ancestors pg_partition_tree pg_prepared_xact pg_relation_size ' +
  'pg_safe_snapshot_blocking_pids pg_sequence_last_value pg_sleep pg_sleep_for pg_sleep_until ' +
  'pg_stat_clear_snapshot pg_stat_force_next_flush pg_stat_get_backend_io pg_stat_get_backend_wal pg_stat_get_io ' +
  'pg_stat_get_recovery_prefetch pg_table_size pg_tablespace_size pg_total_relation_size pg_wal_summary_contents ' +
  'pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_xact_status plpgsql_validator random random_normal ' +
  'timeofday txid_status uuidv4 uuidv7'
).split(' ')
const HARMLESS_FAMILIES = '^pg_stat_get_xact_'

/** What the SQL of this file is given as its first four values. */
export const REACHING_VALUES: readonly unknown[] = [KNOWN, FAMILIES, HARMLESS_VOLATILE, HARMLESS_FAMILIES]

/**
 * Of `pg_proc p`: reaching, in PostgreSQL itself or in an extension. Text-running ts_rewrite takes a query as text; its
 * other form is harmless. What takes or gives types of the server's inside cannot be called.
 */
export const REACHING = `((p.proname = any ($1) or p.proname ~ $2
    or (p.pronamespace = 'pg_catalog'::regnamespace and p.provolatile = 'v'
      and p.proname <> all ($3) and p.proname !~ $4))
  and not (p.proname = 'ts_rewrite' and p.pronargs = 3)
  and not ('internal'::regtype = any (p.proargtypes::oid[]))
  and p.prorettype <> all (array['internal', 'trigger', 'event_trigger', 'language_handler', 'index_am_handler',
    'table_am_handler', 'tsm_handler', 'fdw_handler']::regtype[])
  and (p.pronamespace = 'pg_catalog'::regnamespace or exists (
    select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')))`

/** Names of all such functions of this server and this database, for the guard; whoever may call them. */
export async function readReachingFunctions(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ names: string }>(
    `select coalesce(json_agg(distinct p.proname), '[]')::text as names from pg_proc p where ${REACHING}`,
    REACHING_VALUES,
  )
  return JSON.parse(rows[0]?.names ?? '[]') as string[]
}

const KNOWN_NAMES = new Set(KNOWN)
const KNOWN_FAMILIES = new RegExp(FAMILIES)

/** By its name alone, of whatever version: what the guard refuses before it has seen a server. */
export function isKnownToReach(name: string): boolean {
  return KNOWN_NAMES.has(name) || KNOWN_FAMILIES.test(name)
}
