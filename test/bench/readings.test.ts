import { expect, test } from 'vitest'
import { readAnswer } from '../../bench/http/keep-alive-client.ts'
import { privateBytes } from '../../bench/support/backend-memory.ts'
import { formatTable } from '../../bench/support/report.ts'
import { treeCpuSeconds } from '../../bench/support/server-cpu.ts'

const SMAPS = `55d0c8a00000-55d0c8b00000 rw-p 00000000 00:00 0                          [heap]
Size:               1024 kB
Shared_Clean:          8 kB
Private_Clean:         4 kB
Private_Dirty:       100 kB
Private_Hugetlb:     512 kB
7f0a00000000-7f0a20000000 rw-s 00000000 00:01 2053                       /dev/zero (deleted)
Size:             524288 kB
Private_Clean:         0 kB
Private_Dirty:    400000 kB
7f0a30000000-7f0a30100000 r--p 00000000 fd:00 77                         /usr/lib/libc.so.6
Private_Clean:        12 kB
Private_Dirty:         0 kB
`

test('private memory is that of private mappings: shared_buffers never count', () => {
  expect(privateBytes(SMAPS)).toBe((4 + 100 + 12) * 1024)
})

test('an answer is complete once it is as long as it says', () => {
  const answer =
    'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"ok":"true"}'
  for (const cut of [10, 40, answer.length - 1]) expect(readAnswer(answer.slice(0, cut))).toBeUndefined()
  expect(readAnswer(answer)).toEqual({ status: 200, body: '{"ok":"true"}' })
  expect(() => readAnswer('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')).toThrow(
    'without a length',
  )
})

test('columns stand below each other, numbers to the right', () => {
  expect(
    formatTable([
      ['contender', 'q/s'],
      ['a', 5],
      ['bcd', 12_345],
    ]),
  ).toBe('contender  q/s\na              5\nbcd        12345')
})

test('the processor time of a process tree is known on Linux, and NaN elsewhere', () => {
  const seconds = treeCpuSeconds(process.pid)
  if (process.platform === 'linux') expect(seconds).toBeGreaterThan(0)
  expect(treeCpuSeconds(2 ** 30)).toBeNaN()
})
