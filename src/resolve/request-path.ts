/** The path of a request target, as it stands there and as others may read it. */

/** Scheme and host of a target in absolute form (RFC 9112, section 3.2.2). */
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i

/** A target in three parts that make the whole again: `http://host`, `/a`, `?b`. The first and the last may be empty. */
export function splitTarget(target: string): readonly [origin: string, path: string, query: string] {
  const origin = target.startsWith('/') ? '' : (ORIGIN.exec(target)?.[0] ?? '')
  const end = target.indexOf('?', origin.length)
  return end === -1
    ? [origin, target.slice(origin.length), '']
    : [origin, target.slice(origin.length, end), target.slice(end)]
}

/** The path of a request target in origin form (`/a?b`) or absolute form (`http://host/a?b`). */
export function pathOf(target: string): string {
  return splitTarget(target)[1]
}

/** Without its escapes: byte by byte, as no text is so broken that this fails. */
export function decoded(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
