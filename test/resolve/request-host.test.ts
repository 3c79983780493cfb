import { describe, expect, test } from 'vitest'
import { trustedProxies } from '../../src/resolve/trusted-proxies.ts'
import { sampleRequest } from './sample-request.ts'

const FORGED = ['Host', 'acme.example.com', 'X-Forwarded-Host', 'globex.example.com']

describe('the host of a request', () => {
  test('I1: X-Forwarded-Host of a stranger is not looked at', () => {
    expect(sampleRequest(FORGED).host().name).toBe('acme.example.com')
    expect(sampleRequest(FORGED, { proxies: ['10.0.0.0/8'] }).host().name).toBe('acme.example.com')
  })

  test('I1: without the list of proxies the forged header would win', () => {
    expect(sampleRequest(FORGED, { proxies: ['0.0.0.0/0'] }).host().name).toBe('globex.example.com')
  })

  test.each(['10.1.2.3', '::ffff:10.1.2.3', '2001:db8::7', '192.0.2.7'])(
    'I1: the proxy %s is believed',
    (peer) => {
      const options = { remoteAddress: peer, proxies: ['10.0.0.0/8', '2001:db8::/32', '192.0.2.7'] }
      expect(sampleRequest(FORGED, options).host().name).toBe('globex.example.com')
    },
  )

  test.each(['11.1.2.3', '::ffff:11.1.2.3', '2001:db9::7', '192.0.2.8', '', 'unknown'])(
    'I1: the peer %j is none of the proxies',
    (peer) => {
      const options = { remoteAddress: peer, proxies: ['10.0.0.0/8', '2001:db8::/32', '192.0.2.7'] }
      expect(sampleRequest(FORGED, options).host().name).toBe('acme.example.com')
    },
  )

  test('I1: of several forwarded hosts, the last is the one that our proxy wrote', () => {
    const options = { remoteAddress: '10.0.0.1', proxies: ['10.0.0.1'] }
    const listed = ['Host', 'app', 'X-Forwarded-Host', 'globex.example.com, acme.example.com']
    expect(sampleRequest(listed, options).host().name).toBe('acme.example.com')
    const lines = [
      'x-forwarded-host',
      'globex.example.com',
      'Host',
      'app',
      'X-FORWARDED-HOST',
      'acme.example.com',
    ]
    expect(sampleRequest(lines, options).host().name).toBe('acme.example.com')
    const empty = ['Host', 'app', 'X-Forwarded-Host', 'globex.example.com, ']
    expect(() => sampleRequest(empty, options).host()).toThrow('its host is empty')
  })

  test('I1: a proxy that forwards nothing leaves the Host header', () => {
    const options = { remoteAddress: '10.0.0.1', proxies: ['10.0.0.1'] }
    expect(sampleRequest(['Host', 'acme.example.com'], options).host().name).toBe('acme.example.com')
  })

  test('I2: no Host, or more than one, is refused, equal ones too', () => {
    expect(() => sampleRequest([]).host()).toThrow('no Host header')
    const two = ['Host', 'acme.example.com', 'host', 'acme.example.com']
    expect(() => sampleRequest(two).host()).toThrow('more than one Host header')
  })

  test('I2: HTTP/2 names its host in :authority', () => {
    expect(sampleRequest([':authority', 'acme.example.com']).host().name).toBe('acme.example.com')
    const equal = [':authority', 'acme.example.com', 'host', 'acme.example.com']
    expect(sampleRequest(equal).host().name).toBe('acme.example.com')
    const differing = [':authority', 'acme.example.com', 'host', 'globex.example.com']
    expect(() => sampleRequest(differing).host()).toThrow('more than one Host header')
  })

  test('I2: a target in absolute form must say the same as Host', () => {
    const headers = ['Host', 'acme.example.com:3000']
    expect(sampleRequest(headers, { target: 'http://ACME.example.com/x' }).host().name).toBe(
      'acme.example.com',
    )
    for (const authority of [
      'globex.example.com',
      'acme.example.com@globex.example.com',
      '',
      'acme.example.com\\x',
    ]) {
      expect(() => sampleRequest(headers, { target: `http://${authority}/x` }).host()).toThrow(
        expect.objectContaining({ code: 'TNY102' }),
      )
    }
  })

  test.each(['10.0.0.0/33', '10.0.0/8', 'loopback', '::1/129', '', '10.0.0.0/', '10.0.0.0/8/8'])(
    'the range %j is refused at start',
    (range) => {
      expect(() => trustedProxies([range])).toThrow(expect.objectContaining({ code: 'TNY002' }))
    },
  )
})
