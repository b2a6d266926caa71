import { describe, expect, test, vi } from 'vitest'
import { WireWriter } from '../../../src/driver/wire-writer.js'
import { cString, WireParser } from '../../helpers/wire.js'
import { int16, int32, message } from './backend-messages.js'

/** The bytes that the calls write. */
function written(write: (writer: WireWriter) => void): Buffer {
  const writer = new WireWriter()
  write(writer)
  return writer.take()
}

describe('each message has the bytes that the protocol wants', () => {
  test('Parse', () => {
    expect(written((writer) => writer.parse('s1', 'select 1'))).toEqual(
      message('P', 's1', 'select 1', int16(0)),
    )
  })

  test('Bind with texts and NULL: no format codes', () => {
    expect(written((writer) => writer.bind('p', 's', ['ab', null, '']))).toEqual(
      message('B', 'p', 's', int16(0), int16(3), int32(2), Buffer.from('ab'), int32(-1), int32(0), int16(0)),
    )
  })

  test('Bind with bytes: a format code for each value', () => {
    expect(written((writer) => writer.bind('', 's', ['é', Buffer.of(0, 255), null]))).toEqual(
      message(
        'B',
        '',
        's',
        int16(3),
        int16(0),
        int16(1),
        int16(0),
        int16(3),
        int32(2),
        Buffer.from('é'),
        int32(2),
        Buffer.of(0, 255),
        int32(-1),
        int16(0),
      ),
    )
  })

  test('Describe, Execute, Close, Sync, Flush', () => {
    expect(written((writer) => writer.describePortal('p'))).toEqual(message('D', 0x50, 'p'))
    expect(written((writer) => writer.execute('p', 500))).toEqual(message('E', 'p', int32(500)))
    expect(written((writer) => writer.closePortal('p'))).toEqual(message('C', 0x50, 'p'))
    expect(written((writer) => writer.closeStatement('s'))).toEqual(message('C', 0x53, 's'))
    expect(written((writer) => writer.sync())).toEqual(message('S'))
    expect(written((writer) => writer.flush())).toEqual(message('H'))
  })
})

test('messages follow each other, and take() starts a new buffer', () => {
  const writer = new WireWriter()
  writer.parse('', 'select 1')
  writer.sync()
  const first = writer.take()
  writer.flush()
  expect(writer.take()).toEqual(message('H'))
  expect(first).toEqual(Buffer.concat([message('P', '', 'select 1', int16(0)), message('S')]))
  expect(writer.take()).toHaveLength(0)
})

test('what was taken does not change when the writer goes on', () => {
  const writer = new WireWriter()
  writer.parse('', 'select 1')
  const first = writer.take()
  const copy = Buffer.from(first)
  writer.parse('', 'select 2')
  expect(first).toEqual(copy)
})

test('texts of any length and alphabet arrive as they are, across every growth of the buffer', () => {
  for (const text of ['', 'x', '😀'.repeat(3000), 'é'.repeat(8191), 'a'.repeat(300_000), '\ud800 alone']) {
    const bytes = written((writer) => {
      writer.parse('s', text)
      writer.bind('', 's', [text, Buffer.from(text)])
    })
    const [parse, bind] = new WireParser().fromClient(Buffer.concat([startup, bytes])).slice(1)
    const expected = Buffer.from(text).toString()
    expect(parse?.text).toBe(expected)
    // Portal, statement, two format codes, two values.
    const values = cString(bind?.bytes as Buffer, cString(bind?.bytes as Buffer, 5).end).end + 8
    const length = (bind?.bytes as Buffer).readInt32BE(values)
    expect(length).toBe(Buffer.byteLength(expected))
    expect((bind?.bytes as Buffer).toString('utf8', values + 4, values + 4 + length)).toBe(expected)
  }
})

test('counts up to 65535 values', () => {
  const bytes = written((writer) => writer.bind('', '', Array<string>(65_535).fill('1')))
  expect(bytes.readUInt16BE(9)).toBe(65_535)
})

const startup = Buffer.concat([int32(8), int32(196_608)])

test('Bind is the same when its statement is bound again, with another number of values, and after it was closed', () => {
  const bytes = (values: string[]): Buffer => written((writer) => writer.bind('', 'named', values))
  const writer = new WireWriter()
  const given = [[], ['1'], [], ['1', '22']]
  for (const values of given) writer.bind('', 'named', values)
  expect(writer.take()).toEqual(Buffer.concat(given.map(bytes)))
  writer.closeStatement('named')
  writer.take()
  writer.bind('', 'named', ['1'])
  writer.bind('portal', 'named', ['1'])
  expect(writer.take()).toEqual(
    Buffer.concat([bytes(['1']), written((other) => other.bind('portal', 'named', ['1']))]),
  )
})

test('what is kept of statements is bounded, though they are never closed', () => {
  const writer = new WireWriter()
  const set = vi.spyOn(Map.prototype, 'set')
  for (let n = 0; n < 5000; n++) writer.bind('', `lifeguard_${n}`, [])
  const kept = set.mock.contexts[0] as Map<unknown, unknown>
  set.mockRestore()
  expect(kept.size).toBeLessThanOrEqual(1000)
  writer.take()
  writer.bind('', 'lifeguard_1', [])
  expect(writer.take().toString('latin1')).toContain('lifeguard_1\0')
})
