/** Quoting of names and text for the few statements that cannot take bind values (DDL). */

/**
 * An identifier, quoted. Fed by checked or stored names only, and quotes all the same.
 * @throws RangeError where PostgreSQL would cut the name (over 63 bytes) or cannot hold it (NUL).
 * Source: PostgreSQL manual, 4.1.1 Identifiers and Key Words.
 */
export function quoteIdent(name: string): string {
  if (name.includes('\0')) throw new RangeError('an identifier cannot hold NUL')
  if (name === '' || Buffer.byteLength(name) > 63) {
    throw new RangeError('an identifier has 1 to 63 bytes: PostgreSQL would cut a longer one silently')
  }
  return `"${name.replaceAll('"', '""')}"`
}

/** A string constant, quoted; correct whether or not standard_conforming_strings is on. */
export function quoteLiteral(text: string): string {
  if (text.includes('\0')) throw new RangeError('text cannot hold NUL')
  const body = text.replaceAll("'", "''")
  return body.includes('\\') ? ` E'${body.replaceAll('\\', '\\\\')}'` : `'${body}'`
}
