/** Where in a request a token or an API key stands. */
import { TenantryError } from '../core/errors.ts'
import { readCookie, requireCookieName } from './cookie.ts'
import type { ResolvableRequest } from './resolvable-request.ts'

/** `Authorization: Bearer …` (RFC 6750), a header of its own, or a cookie. */
export type TokenSource = 'bearer' | { readonly header: string } | { readonly cookie: string }

const BEARER = /^bearer +([^ ]+) *$/i

/**
 * A function that takes the text from there; `undefined` where nothing is there, or something else (`Basic …`).
 * It throws TNY102 where a request has it twice.
 * @throws TNY002 where no cookie can have the name
 */
export function tokenReader(source: TokenSource): (request: ResolvableRequest) => string | undefined {
  if (source === 'bearer') {
    return (request) => BEARER.exec(onlyLine(request, 'authorization') ?? '')?.[1]
  }
  if ('header' in source) return (request) => onlyLine(request, source.header)
  requireCookieName(source.cookie)
  return (request) => readCookie(request, source.cookie)
}

function onlyLine(request: ResolvableRequest, name: string): string | undefined {
  const values = request.header(name)
  if (values.length < 2) return values[0]
  throw new TenantryError('TNY102', { params: { reason: `it has more than one ${name} header` } })
}
