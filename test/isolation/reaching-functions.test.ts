import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createGuard } from '../../src/isolation/guard.ts'
import { harden, soften } from '../../src/isolation/harden.ts'
import { withLogin } from '../../src/isolation/logins.ts'
import { readOpenRights } from '../../src/isolation/open-rights.ts'
import { isKnownToReach, readReachingFunctions } from '../../src/isolation/reaching-functions.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { describeOnVersions } from '../support/versions.ts'

/** What tenants, ORMs and dumps ask a server about its structure; none of it may be taken away. */
const INTROSPECTION = `
select table_name, column_default from information_schema.columns where table_name = 'things';
select constraint_name from information_schema.referential_constraints;
select sequence_name from information_schema.sequences;
select format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), obj_description(c.oid), col_description(c.oid, 1)
  from pg_class c join pg_attribute a on a.attrelid = c.oid left join pg_attrdef d on d.adrelid = c.oid where c.relname = 'things';
select pg_get_constraintdef(oid), pg_get_userbyid(connamespace) from pg_constraint;
select pg_get_indexdef(indexrelid) from pg_index;
select pg_table_is_visible(oid), pg_relation_size(oid) from pg_class where relname = 'things';
select current_schemas(true), current_setting('search_path'), version(), pg_backend_pid(), current_database();
select pg_get_functiondef(oid) from pg_proc where proname = 'touched';
select pg_get_serial_sequence('things', 'id'), pg_sequence_last_value('things_id_seq'), nextval('things_id_seq'), lastval();
select random(), gen_random_uuid(), clock_timestamp(), txid_current(), pg_is_in_recovery();
select * from pg_locks, pg_sequences;
select pg_get_viewdef('named'::regclass), to_regclass('things'), pg_partition_root('things')
`

describeOnVersions('functions that reach beyond a tenant', undefined, (version) => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createTestDatabase({ installed: false, version })
    await database.sql(`create table things (id serial primary key, name text); create view named as select name from things;
      create function touched() returns int language sql as 'select 1';
      grant select, update on all tables in schema public to tenantry_app;
      grant usage, update on all sequences in schema public to tenantry_app`)
  })
  afterAll(() => database.drop())

  test('S26: those of the running version are found, and nothing else that PostgreSQL has', async () => {
    const owner = createAdminDatabase(database.superuserUrl, 1)
    const found = new Set(await readReachingFunctions(owner))
    const openRights = await readOpenRights(owner)
    await owner.close()
    for (const name of [
      'set_config',
      'query_to_xml',
      'ts_stat',
      'lo_put',
      'pg_advisory_lock',
      'pg_prepared_statement',
    ]) {
      expect(found, name).toContain(name)
    }
    for (const name of [
      'now',
      'nextval',
      'setval',
      'random',
      'gen_random_uuid',
      'pg_sleep',
      'lower',
      'log',
      'pg_get_viewdef',
    ]) {
      expect(found, name).not.toContain(name)
    }
    // Reviewed: what everybody may call and is found by being volatile alone. A new version may add to it.
    const open = openRights.functions.map((signature) => signature.replace(/\(.*/, ''))
    const byEffect = new Set(open.filter((name) => !isKnownToReach(name)))
    expect([...byEffect].filter((name) => !UNKNOWN_BY_NAME.includes(name))).toEqual([])
  })

  test('S26: the guard refuses what the server was found to have', async () => {
    const guard = createGuard()
    await guard.load()
    expect(guard.check('select pg_nextoid(1, 2, 3)', 'tenant')).toBe('send')
    guard.deny(['pg_nextoid'])
    expect(() => guard.check('select pg_nextoid(1, 2, 3)', 'tenant')).toThrow(/pg_nextoid/)
  })

  test('S17: hardened, the server refuses them to all but those who need them, and structure can be read', async () => {
    const owner = createAdminDatabase(database.superuserUrl, 1)
    const name = `plain_${database.name}`
    await database.sql(`create role ${name} login noinherit password 'p';
      grant select, update on all tables in schema public to ${name};
      grant usage, update on all sequences in schema public to ${name}`)
    const login = createAdminDatabase(withLogin(database.superuserUrl, { name, password: 'p' }), 1)
    try {
      // The control: before that, everybody may.
      await login.query('select pg_advisory_xact_lock(1), (select count(*) from pg_prepared_statements)')
      expect((await harden(owner)).enforcement).toBe('database')
      for (const attack of [
        'pg_advisory_lock(1)',
        'pg_prepared_statement()',
        "ts_stat('select 1')",
        'pg_export_snapshot()',
      ]) {
        await expect(login.query(`select ${attack}`), attack).rejects.toMatchObject({ code: '42501' })
      }
      await expect(login.query('select * from pg_prepared_statements')).rejects.toMatchObject({
        code: '42501',
      })
      for (const question of INTROSPECTION.split(';\n')) await login.query(question)
      const [rights] = await database.sql(
        `select has_function_privilege('tenantry_app', 'pg_advisory_lock(bigint)', 'EXECUTE') as app,
           has_function_privilege('tenantry_owners', 'pg_advisory_xact_lock(bigint)', 'EXECUTE') as owners,
           has_function_privilege('tenantry_tenants', 'pg_advisory_lock(bigint)', 'EXECUTE') as tenants,
           has_function_privilege('tenantry_app', 'pg_prepared_statement()', 'EXECUTE') as names`,
      )
      expect(rights).toEqual({ app: true, owners: true, tenants: false, names: true })
    } finally {
      await soften(owner)
      await login.query('select pg_advisory_xact_lock(1)')
      await Promise.all([login.close(), owner.close()])
      await database.sql(`drop owned by ${name}; drop role ${name}`)
    }
  })
})

/** Volatile functions that are refused for being unknown: inner ones, which do nothing for a tenant. */
const UNKNOWN_BY_NAME = [
  'pg_import_system_collations',
  'pg_nextoid',
  'pg_rotate_logfile_old',
  'pg_stop_making_pinned_objects',
]
