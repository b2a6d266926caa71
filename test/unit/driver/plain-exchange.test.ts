import { describe, expect, test } from 'vitest'
import { ProtocolError } from '../../../src/driver/backend-messages.js'
import { PlainExchange } from '../../../src/driver/plain-exchange.js'
import {
  bindComplete,
  commandComplete,
  dataRow,
  emptyQuery,
  errorResponse,
  int16,
  message,
  parseComplete,
  portalSuspended,
  readyForQuery,
  rowDescription,
} from './backend-messages.js'

const HEADER_BYTES = 5
const copyIn = message('G', 0, int16(0))
const copyOut = message('H', 0, int16(0))
const copyData = message('d', Buffer.from('1\tone\n'))
const copyDone = message('c')
const rows = [rowDescription(['x']), dataRow(['1']), dataRow(['2'])]
const failure = errorResponse('42601', 'syntax error')

/** Which of the messages node-postgres gets; an error ends the list. */
function admitted(kind: 'script' | 'copy', messages: readonly Buffer[]): (string | Error)[] {
  const exchange = new PlainExchange(kind)
  const seen: (string | Error)[] = []
  for (const bytes of messages) {
    try {
      const passes = exchange.admits(bytes[0] as number, bytes, HEADER_BYTES, bytes.length)
      if (passes) seen.push(String.fromCharCode(bytes[0] as number))
    } catch (error) {
      return [...seen, error as Error]
    }
  }
  return seen
}

test('node-postgres gets the messages of a script that it needs, and no rows', () => {
  const done = commandComplete('SELECT 2')
  expect(admitted('script', [done, readyForQuery()])).toEqual(['C', 'Z'])
  expect(admitted('script', [emptyQuery, readyForQuery()])).toEqual(['I', 'Z'])
  expect(admitted('script', [...rows, done, ...rows, done, readyForQuery()])).toEqual(['C', 'C', 'Z'])
  expect(admitted('script', [done, ...rows, failure, readyForQuery('E')])).toEqual(['C', 'E', 'Z'])
  expect(admitted('script', [copyIn, failure, readyForQuery()])).toEqual(['G', 'E', 'Z'])
  expect(
    admitted('script', [copyOut, copyData, copyDone, commandComplete('COPY 1'), readyForQuery()]),
  ).toEqual(['H', 'c', 'C', 'Z'])
})

test('of a COPY it gets everything', () => {
  const done = commandComplete('COPY 1')
  expect(admitted('copy', [copyIn, done, readyForQuery()])).toEqual(['G', 'C', 'Z'])
  expect(admitted('copy', [copyOut, copyData, copyData, copyDone, done, readyForQuery()])).toEqual([
    ...['H', 'd', 'd', 'c', 'C', 'Z'],
  ])
  // With a header.
  expect(admitted('copy', [copyOut, copyData, copyData, copyDone, done, readyForQuery()])).toHaveLength(6)
  expect(admitted('copy', [copyOut, copyData, failure, readyForQuery('E')])).toEqual(['H', 'd', 'E', 'Z'])
  expect(admitted('copy', [failure, readyForQuery('E')])).toEqual(['E', 'Z'])
})

describe('what has no place ends the connection', () => {
  test.each<[string, 'script' | 'copy', readonly Buffer[]]>([
    ['ReadyForQuery before an answer', 'script', [readyForQuery()]],
    ['ReadyForQuery among rows', 'script', [...rows, readyForQuery()]],
    ['ReadyForQuery while data goes to the server', 'copy', [copyIn, readyForQuery()]],
    ['ReadyForQuery while data comes from the server', 'copy', [copyOut, copyData, readyForQuery()]],
    ['ReadyForQuery before a COPY', 'copy', [readyForQuery()]],
    ['a row that was not described', 'script', [dataRow(['1'])]],
    ['a row of another shape', 'script', [rowDescription(['x']), dataRow(['1', '2'])]],
    [
      'a row that is cut short',
      'script',
      [rowDescription(['x']), message('D', int16(1), Buffer.from([0, 0, 0, 9]))],
    ],
    ['a description that is cut short', 'script', [message('T', int16(9), 'a', Buffer.alloc(18))]],
    ['two descriptions', 'script', [...rows, rowDescription(['x'])]],
    ['an answer to Parse', 'script', [parseComplete]],
    ['an answer to Bind', 'script', [bindComplete]],
    ['the end of a page', 'script', [...rows, portalSuspended]],
    ['data that was not asked for', 'copy', [copyData]],
    ['data the wrong way', 'copy', [copyIn, copyData]],
    ['an end of data before data', 'copy', [copyDone]],
    ['a command that is done in the middle of data', 'copy', [copyOut, copyData, commandComplete('COPY 1')]],
    ['a row of a COPY too few', 'copy', [copyOut, copyData, copyDone, commandComplete('COPY 2')]],
    ['data behind its end', 'copy', [copyOut, copyDone, copyData]],
    ['a COPY in both directions', 'copy', [message('W', 0, int16(0))]],
    ['rows where a COPY was wanted', 'copy', rows],
    ['a command where a COPY was wanted', 'copy', [commandComplete('SET')]],
    ['a command behind a failure', 'script', [failure, commandComplete('SET')]],
  ])('%s', (_, kind, messages) => {
    expect(admitted(kind, messages).at(-1)).toBeInstanceOf(ProtocolError)
  })
})
