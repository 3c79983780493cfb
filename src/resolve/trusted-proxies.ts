/** Which peers may speak for others: the proxies whose X-Forwarded-Host is believed. */
import { BlockList, isIP, isIPv4 } from 'node:net'
import { TenantryError } from '../core/errors.ts'

/** Tells whether the peer of a socket is a proxy of one's own. */
export type IsTrustedProxy = (remoteAddress: string | undefined) => boolean

/**
 * Reads a list of addresses and CIDR ranges. Without one, no forwarded header is ever believed.
 *
 * @param ranges `10.0.0.0/8`, `::1`, `192.0.2.7` …
 * @throws TNY002 where one of them is neither an address nor a range
 */
export function trustedProxies(ranges: readonly string[] = []): IsTrustedProxy {
  if (ranges.length === 0) return () => false
  const list = new BlockList()
  for (const range of ranges) addRange(list, range)
  return (remoteAddress) =>
    remoteAddress !== undefined &&
    isIP(remoteAddress) !== 0 &&
    list.check(remoteAddress, isIPv4(remoteAddress) ? 'ipv4' : 'ipv6')
}

function addRange(list: BlockList, range: string): void {
  const [, address = '', , bits] = /^([^/]+)(\/(\d{1,3}))?$/.exec(range) ?? []
  const family = isIPv4(address) ? 'ipv4' : 'ipv6'
  const longest = family === 'ipv4' ? 32 : 128
  const prefix = bits === undefined ? longest : Number(bits)
  if (isIP(address) === 0 || prefix > longest) {
    throw new TenantryError('TNY002', {
      params: {
        reason: `trustedProxies holds ${JSON.stringify(range)}, which is neither an address nor a CIDR range`,
      },
    })
  }
  list.addSubnet(address, prefix, family)
}
