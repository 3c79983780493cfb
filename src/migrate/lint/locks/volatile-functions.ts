/** Functions of which each call may give another value: as a column's default, they give every row one of its own. */

/** Those of PostgreSQL (`provolatile = 'v'`), as far as a default can call them, and those of its usual extensions. */
const VOLATILE = new Set(
  (
    'array_sample array_shuffle clock_timestamp current_query currval gen_random_uuid lastval nextval random random_normal ' +
    'set_config setval timeofday uuidv4 uuidv7 gen_random_bytes gen_salt uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4'
  ).split(' '),
)

/** By the last part of its name. `now()` and `current_timestamp` give one value for all rows. */
export function isVolatileBuiltin(name: string): boolean {
  return VOLATILE.has(name)
}
