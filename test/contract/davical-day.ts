/** What DAViCal asks of its tables, in the words of its own functions, triggers and view. */
export const DAVICAL_DAY: readonly string[] = [
  // Through the view: both tables behind it, and what is unique whatever the case.
  `insert into dav_principal (user_no, username, fullname, type_id, principal_id, default_privileges)
    values (501, 'wile', 'Wile E.', 1, 601, privilege_to_bits('read')), (502, 'road', 'Road R.', 1, 602, 0::bit(24)),
      (503, 'team', 'Everybody', 3, 603, privilege_to_bits(array['read', 'write']))`,
  `insert into dav_principal (user_no, username, type_id, principal_id) values (504, 'WILE', 1, 604)`,
  `insert into dav_principal (user_no, username, type_id, principal_id) values (504, 'odd', 99, 604)`,
  `select username, displayname, dav_name, default_privileges from dav_principal`,
  `update dav_principal set fullname = 'Wile E. Coyote', displayname = 'Wile' where username = 'wile'`,
  `insert into group_member (group_id, member_id) values (603, 601), (603, 602)`,
  `insert into group_member (group_id, member_id) values (603, 601)`,
  `select expand_members(603, 2) as member`,
  `select expand_memberships(601, 2) as of`,
  `insert into grants (by_principal, to_principal, privileges) values (602, 603, privilege_to_bits('read'))`,
  `select pprivs(601, 602, 2) as by_group, pprivs(602, 601, 2) as by_default, privileges_list(pprivs(601, 602, 2))`,
  // Keys over two columns, one of them MATCH FULL, one that a trigger fills.
  `insert into collection (collection_id, user_no, parent_container, dav_name, dav_etag, is_calendar)
    values (701, 501, '/wile/', '/wile/home/', 'e0', true), (702, 502, '/road/', '/road/home/', 'e0', true)`,
  `insert into collection (collection_id, dav_name) values (703, '/wile/home/')`,
  `insert into caldav_data (user_no, dav_name, dav_etag, caldav_data, caldav_type, collection_id, dav_id)
    values (501, '/wile/home/1.ics', 'e1', 'BEGIN:VEVENT', 'VEVENT', 701, 801)`,
  `insert into calendar_item (user_no, dav_name, uid, summary, rrule, collection_id, dav_id)
    values (501, '/wile/home/1.ics', 'u1', 'Fall', 'FREQ=WEEKLY;COUNT=4', 701, 801)`,
  `insert into calendar_item (user_no, dav_name) values (501, '/wile/home/2.ics')`,
  `select dav_name, dav_etag from collection`,
  `insert into property (dav_name, property_name, property_value) values ('/wile/home/', 'colour', 'red')
    on conflict (dav_name, property_name) do update set property_value = excluded.property_value`,
  `insert into property as p (dav_name, property_name, property_value) values ('/wile/home/', 'colour', 'blue')
    on conflict (dav_name, property_name) do update set property_value = p.property_value || excluded.property_value`,
  `select set_dav_property('/road/home/', 502, 'colour', 'green') as set, set_dav_property('/no/', 502, 'x', 'y') as unset`,
  `select dav_name, property_value, changed_by from property`,
  `select new_sync_token(0, 701) is not null as token, write_sync_change(701, 201, '/wile/home/1.ics') as written`,
  `select collection_id, sync_status, dav_id, dav_name from sync_changes`,
  // A trigger that renames collections, whose trigger renames their contents, whose keys cascade.
  `update usr set username = 'coyote' where user_no = 501`,
  `select c.dav_name as collection, d.dav_name as data, i.dav_name as item, real_path_exists(c.dav_name)
    from collection c join caldav_data d using (collection_id) join calendar_item i using (dav_id)`,
  `insert into dav_binding (dav_owner_id, parent_container, dav_name) values (601, '/coyote/', '/coyote/home/')`,
  `update usr set user_no = 511 where user_no = 501`,
  `select user_no, count(*)::int as items, max(summary) as summary from calendar_item group by user_no`,
  `select instance from rrule_event_instances('2024-01-01 09:00Z', 'FREQ=WEEKLY;COUNT=4') order by 1`,
  `insert into timezones (our_tzno, tzid) values (91, 'Utopia'), (92, 'Arcadia')`,
  `update collection set timezone = 'Utopia' where collection_id = 701`,
  `delete from timezones where tzid = 'Utopia'`,
  `delete from principal_type where principal_type_id = 1`,
  `with gone as (delete from usr where user_no = 511 returning user_no) select count(*)::int as gone from gone`,
  `select (select count(*)::int from collection) as collections, (select count(*)::int from caldav_data) as data,
    (select count(*)::int from principal) as principals, (select count(*)::int from property) as properties`,
]
