/** Schemas of applications that are in use, from their Debian packages, as the tenant migrations of their users. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { unpackDebianPackages } from '../../dev/debian-packages.ts'

/** What an application brings. */
export interface RealSchema {
  readonly tables: string
  /** The rows that it begins with. */
  readonly rows: string
}

/** Both are many years old and were written by hand. */
export interface RealSchemas {
  /** Monitoring: 173 tables, 226 foreign keys and 234 indexes. */
  readonly zabbix: RealSchema
  /** Calendars: functions, triggers, deferrable keys, sequences of many tables, a view that can be written through rules. */
  readonly davical: RealSchema
}

const PACKAGES = {
  folder: 'schemas',
  names: ['zabbix-server-pgsql', 'davical', 'libawl-php'],
  release: 'bookworm',
}

/** `undefined` where they cannot be had, which fails in CI. */
export function findRealSchemas(): RealSchemas | undefined {
  try {
    const folder = unpackDebianPackages(PACKAGES, () => undefined)
    return { zabbix: readZabbix(folder), davical: readDavical(folder) }
  } catch (error) {
    if (process.env['CI'] !== undefined) throw error
    return undefined
  }
}

function readZabbix(folder: string): RealSchema {
  const read = (name: string): string =>
    gunzipSync(readFileSync(join(folder, 'usr/share/zabbix-server-pgsql', name))).toString('utf8')
  const data = read('data.sql.gz')
  // What follows are 160,000 rows of templates.
  const rows = data.slice(0, data.indexOf('\nINSERT INTO hosts ') + 1)
  return { tables: read('schema.sql.gz'), rows: rows.replace(/^START TRANSACTION;$/m, '') }
}

/** In the order in which its own script runs them. */
function readDavical(folder: string): RealSchema {
  const read = (name: string): string => readFileSync(join(folder, 'usr/share', name), 'utf8')
  const tables = [
    read('awl/dba/awl-tables.sql').replaceAll(/^(BEGIN|COMMIT);$/gm, ''),
    ...['schema-management.sql'].map((name) => read(`awl/dba/${name}`)),
    ...['davical.sql', 'views/dav_principal.sql', 'caldav_functions.sql', 'rrule_functions.sql'].map((name) =>
      read(`davical/dba/${name}`),
    ),
  ]
  const rows = ['supported_locales.sql', 'base-data.sql'].map((name) => read(`davical/dba/${name}`))
  return { tables: tables.join('\n'), rows: rows.join('\n') }
}

/** What `CREATE RULE` stands for, written as triggers: the way out that shared tables ask for. */
export function withoutRules({ tables, rows }: RealSchema): RealSchema {
  const rules = /^CREATE or REPLACE RULE dav_principal_\w+ AS[\s\S]*?^\);$/gm
  return { tables: `${tables.replaceAll(rules, '')}\n${PRINCIPAL_TRIGGERS}`, rows }
}

const PRINCIPAL_TRIGGERS = `
create function write_dav_principal() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into usr (user_no, active, joined, updated, username, password, fullname, email, email_ok, date_format_type, locale)
      values (coalesce(new.user_no, nextval('usr_user_no_seq')), coalesce(new.user_active, true),
        coalesce(new.created, current_timestamp), coalesce(new.modified, current_timestamp), new.username, new.password,
        coalesce(new.fullname, new.displayname), new.email, new.email_ok, coalesce(new.date_format_type, 'E'), new.locale)
      returning user_no into new.user_no;
    insert into principal (user_no, principal_id, type_id, displayname, default_privileges)
      values (new.user_no, coalesce(new.principal_id, nextval('dav_id_seq')), new.type_id,
        coalesce(new.displayname, new.fullname), coalesce(new.default_privileges, 0::bit(24)))
      returning principal_id into new.principal_id;
    return new;
  elsif tg_op = 'UPDATE' then
    update usr set user_no = new.user_no, active = new.user_active, updated = current_timestamp, username = new.username,
      password = new.password, fullname = new.fullname, email = new.email, email_ok = new.email_ok,
      date_format_type = new.date_format_type, locale = new.locale where user_no = old.user_no;
    update principal set principal_id = new.principal_id, type_id = new.type_id, displayname = new.displayname,
      default_privileges = new.default_privileges where principal_id = old.principal_id;
    return new;
  end if;
  delete from usr where user_no = old.user_no;
  delete from principal where principal_id = old.principal_id;
  return old;
end $$;
create trigger write_dav_principal instead of insert or update or delete on dav_principal
  for each row execute function write_dav_principal();
`
