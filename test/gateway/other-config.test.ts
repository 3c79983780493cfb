import { describe, expect, test } from 'vitest'
import pg from 'pg'
import { databaseOf, withDatabase, withSettings } from '../../src/gateway/pool/other-config.ts'

const URLS = [
  'postgres://app:p%40ss@db.example.com:6432/main?sslmode=disable',
  'postgresql://app@db.example.com',
  'postgres:///main?host=/run/postgresql',
]

describe('the same connection with settings', () => {
  test.each([...URLS, 'postgres://db/main?options=-c%20work_mem%3D7MB&sslmode=disable'])(
    '%s',
    (connectionString) => {
      const config = withSettings(
        { connectionString, keepAlive: true },
        { search_path: '"a b", public', x: '\\' },
      )
      const { connectionParameters } = new pg.Client(config) as unknown as {
        connectionParameters: { options: string }
      }
      const own = connectionString.includes('work_mem') ? '-c work_mem=7MB ' : ''
      const parts = String.raw`-c search_path="a\ b",\ public -c x=` + '\\\\'
      expect(connectionParameters.options).toBe(own + parts)
      expect(databaseOf(config)).toBe(databaseOf({ connectionString }))
      const url = new URL(config.connectionString ?? '')
      url.searchParams.delete('options')
      const before = new URL(connectionString)
      before.searchParams.delete('options')
      expect(url.href).toBe(before.href)
    },
  )
})

describe('the same connection to another database', () => {
  test.each(URLS)('%s', (connectionString) => {
    for (const name of ['tenant_7', 'Größe 2', 'a/b', '100%', 'a%20b', "o'neil"]) {
      const config = withDatabase({ connectionString, keepAlive: true }, name)
      expect(databaseOf(config)).toBe(name)
      expect(config.keepAlive).toBe(true)
      expect(new URL(config.connectionString ?? '').search).toBe(new URL(connectionString).search)
    }
  })

  test.each(['..', 'a/../main', 'a#b', 'a?b=c'])(
    '%s cannot stand in a URL, and reaches no other one',
    (name) => {
      const config = { connectionString: 'postgres://db.example.com/main' }
      expect(() => withDatabase(config, name)).toThrow(expect.objectContaining({ code: 'TNY002' }))
      expect(databaseOf(withDatabase({ host: 'db.example.com' }, name))).toBe(name)
    },
  )
})
