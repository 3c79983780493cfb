/** The cases of the catalogue of threats that a proof tries, in words. */

/** What is attacked, by the id of the threat. */
export const CASE_TITLES: Readonly<Record<string, string>> = {
  S1: 'another tenant’s tables by their full names',
  S2: 'set_config inside a statement',
  S3: 'writes to pg_settings and other catalogs',
  S4: 'SET ROLE, RESET ROLE, SET SESSION AUTHORIZATION',
  S5: 'DO blocks',
  S6: 'stacked statements',
  S7: 'functions that run with their owner’s rights',
  S8: 'views and rules that run with their owner’s rights',
  S9: 'unique constraints as an oracle',
  S10: 'foreign keys as an oracle',
  S11: 'TRUNCATE, which no policy holds for',
  S12: 'a runtime login with too many rights',
  S13: 'row security switched off',
  S14: 'COPY',
  S15: 'temporary tables that shadow the next tenant’s',
  S16: 'LISTEN and NOTIFY',
  S17: 'advisory locks',
  S18: 'large objects',
  S19: 'other tenants’ values in catalogs and statistics',
  S20: 'tenants’ names in application_name',
  S21: 'no context, or an empty one',
  S22: 'other tenants’ sequences',
  S23: 'one statement’s plan under several tenants',
  S24: 'operators that tell the values they meet',
  S25: 'files, programs, other servers, extensions',
  S26: 'functions that run SQL given as text',
  S27: 'a forged context in shared tables',
  S28: 'procedures that commit',
  S29: 'what outlives a transaction',
  S30: 'partitions and heirs read directly',
  S31: 'another tenant’s row types',
  P1: 'session settings through a pool',
  P2: 'settings that reach the next tenant',
  P3: 'clients given back in a transaction',
  P4: 'a connection lost during COMMIT',
  P5: 'a cancel that arrives late',
  P6: 'one tenant wants every connection',
  P7: 'connections that the server drops',
}

/** S2 before S10. */
export function compareCases(one: string, other: string): number {
  return one.charAt(0) === other.charAt(0)
    ? Number(one.slice(1)) - Number(other.slice(1))
    : other.localeCompare(one, 'en')
}
