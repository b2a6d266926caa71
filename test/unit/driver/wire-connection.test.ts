import { EventEmitter } from 'node:events'
import pg from 'pg'
import { beforeEach, describe, expect, test } from 'vitest'
import { ProtocolError } from '../../../src/driver/backend-messages.js'
import { RowShape, type RowReader } from '../../../src/driver/row-reader.js'
import { WireConnection, type WireReader } from '../../../src/driver/wire-connection.js'
import {
  bindComplete,
  commandComplete,
  dataRow,
  errorResponse,
  int32,
  message,
  parseComplete,
  readyForQuery,
  rowDescription,
} from './backend-messages.js'

let socket: EventEmitter
let wire: WireConnection
/** What ended the connection. */
let broken: Error[]
/** What node-postgres was told, by event. */
let told: string[]

beforeEach(() => {
  socket = Object.assign(new EventEmitter(), { destroy: () => undefined })
  wire = new WireConnection({ stream: socket as never })
  broken = []
  wire.on('error', (error) => broken.push(error))
  wire.attachListeners(socket)
  told = []
  for (const event of [
    'readyForQuery',
    'commandComplete',
    'notice',
    'notification',
    'errorMessage',
    'dataRow',
  ]) {
    wire.on(event, () => told.push(event))
  }
})

/** Hands the bytes over in pieces of that size. */
function receive(bytes: Buffer, size: number): void {
  for (let at = 0; at < bytes.length; at += size)
    socket.emit('data', Buffer.from(bytes.subarray(at, at + size)))
}

/** Decodes rows, as a batch does, and notes everything else by its type. */
class Recorder implements WireReader {
  readonly seen: unknown[] = []
  readonly errors: Error[] = []
  #reader: RowReader | undefined

  receive(type: number, buffer: Buffer, start: number, end: number): void {
    const letter = String.fromCharCode(type)
    if (letter === 'T') this.#reader = new RowShape(buffer, start, end).reader('object', pg.types)
    if (letter === 'D') this.seen.push(this.#reader?.(buffer, start, end))
    else this.seen.push(`${letter}${end - start}`)
  }

  receiveError(error: Error): void {
    this.errors.push(error)
  }
}

const ROWS = [
  ['1', 'größer 😀', null],
  ['2', '', 'x'.repeat(5000)],
  ['3', null, 'ü'.repeat(300)],
] as const

const ANSWER = Buffer.concat([
  parseComplete,
  bindComplete,
  rowDescription(['id', 'name', 'text']),
  ...ROWS.map((row) => dataRow(row)),
  commandComplete('SELECT 3'),
  readyForQuery('T'),
])

describe('the answer to a batch', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 64, 1000, 5000, 100_000])('in pieces of %i bytes', (size) => {
    const reader = new Recorder()
    wire.addReader(reader)
    receive(ANSWER, size)
    expect(reader.seen).toEqual([
      '10',
      '20',
      expect.stringMatching(/^T/),
      ...ROWS.map(([id, name, text]) => ({ id, name, text })),
      'C9',
      'Z1',
    ])
    expect(wire.status).toBe('T'.charCodeAt(0))
    expect(told).toEqual([])
  })

  test('cut at every place', () => {
    const reference = new Recorder()
    wire.addReader(reference)
    receive(ANSWER, ANSWER.length)
    wire.removeReader(reference)
    for (let at = 1; at < ANSWER.length; at += at < 400 ? 1 : 97) {
      const reader = new Recorder()
      wire.addReader(reader)
      socket.emit('data', Buffer.from(ANSWER.subarray(0, at)))
      socket.emit('data', Buffer.from(ANSWER.subarray(at)))
      expect(reader.seen).toEqual(reference.seen)
      wire.removeReader(reader)
    }
  })

  test('a message of many megabytes in many pieces is put together once', () => {
    const reader = new Recorder()
    wire.addReader(reader)
    const text = 'x'.repeat(20_000_000)
    receive(Buffer.concat([rowDescription(['text']), dataRow([text]), readyForQuery()]), 64 * 1024)
    expect((reader.seen[1] as { text: string }).text).toBe(text)
  })
})

describe('messages that are not the batch’s', () => {
  test('those of a plain exchange go to node-postgres, in order', () => {
    wire.startPlain({ admits: () => true })
    receive(Buffer.concat([message('N', 'Shello', 0), commandComplete('SELECT 1'), readyForQuery()]), 3)
    expect(told).toEqual(['notice', 'commandComplete', 'readyForQuery'])
  })

  test('what may come anywhere goes to node-postgres in between', () => {
    wire.addReader(new Recorder())
    receive(Buffer.concat([bindComplete, message('N', 'Shello', 0), commandComplete('SELECT 1')]), 2)
    expect(told).toEqual(['notice'])
  })

  test('an error is the reader’s, and not the client’s', () => {
    const reader = new Recorder()
    wire.addReader(reader)
    receive(errorResponse('22012', 'division by zero'), 4)
    expect(reader.errors).toMatchObject([{ message: 'division by zero', code: '22012' }])
    expect(told).toEqual([])
  })

  test('without a reader an error is told first, and then the client’s', () => {
    const errors: Error[] = []
    wire.onPlainError = (error) => void errors.push(error)
    receive(errorResponse('22012', 'division by zero'), 4)
    expect(errors).toMatchObject([{ code: '22012' }])
    expect(told).toEqual(['errorMessage'])
  })

  test('parameters that the server reports are kept', () => {
    receive(Buffer.concat([message('S', 'in_hot_standby', 'off'), message('S', 'in_hot_standby', 'on')]), 5)
    expect(wire.parameters.get('in_hot_standby')).toBe('on')
  })
})

describe('readiness', () => {
  test('is told after node-postgres knows it', () => {
    wire.onReady = () => told.push('onReady')
    wire.startPlain({ admits: () => true })
    receive(readyForQuery(), 1)
    expect(told).toEqual(['readyForQuery', 'onReady'])
  })

  test('at the end of a batch is not told: what the batch’s end has started is still to come', () => {
    wire.onReady = () => told.push('onReady')
    const reader: WireReader = {
      receive: () => wire.removeReader(reader),
      receiveError: () => undefined,
    }
    wire.addReader(reader)
    receive(readyForQuery(), 6)
    expect(told).toEqual([])
    wire.startPlain({ admits: () => true })
    receive(readyForQuery(), 6)
    expect(told).toEqual(['readyForQuery', 'onReady'])
  })
})

test('readers take turns in the order in which they came', () => {
  const [first, second] = [new Recorder(), new Recorder()]
  wire.addReader(first)
  wire.addReader(second)
  receive(bindComplete, 5)
  wire.removeReader(first)
  receive(parseComplete, 5)
  expect([first.seen, second.seen]).toEqual([['20'], ['10']])
})

describe('an unexpected message ends the connection, and nothing after it is read', () => {
  test.each([
    ['a stray ReadyForQuery', readyForQuery()],
    ['a row', dataRow(['1'])],
    ['the end of a command', commandComplete('SELECT 1')],
    ['a request for authentication', message('R', int32(0))],
    ['a message of an unknown type', message('y')],
    ['a length below that of the length itself', Buffer.from([0x43, 0, 0, 0, 3])],
    ['a length of nothing', Buffer.from([0x4e, 0, 0, 0, 0])],
    ['an absurd length', Buffer.from([0x43, 0xff, 0xff, 0xff, 0xff])],
    ['a notice without its end', message('N', Buffer.from('SNOTICE\0Mx'))],
    ['a notification without its texts', message('A', int32(1), Buffer.from('c'))],
    ['an empty notification', message('A')],
    ['a parameter with one text only', message('S', 'name')],
    ['a parameter with three', message('S', 'name', 'value', 'more')],
  ])('%s, where nothing was asked', (_, bytes) => {
    receive(Buffer.concat([bytes, message('N', 'Shello', 0)]), 1000)
    receive(message('N', 'Shello', 0), 1000)
    expect(broken).toHaveLength(1)
    expect(broken[0]).toBeInstanceOf(ProtocolError)
    expect(told).toEqual([])
  })

  test.each([
    ['an error without its end', message('E', Buffer.from('SERROR\0Mx'))],
    ['an error without its SQLSTATE', message('E', 'SERROR', 'Mx', 0)],
    ['an error with bytes behind its end', message('E', 'SERROR', 'C42601', 'Mx', 0, 0)],
    [
      'an error of a thousand fields',
      message('E', 'SERROR', 'C42601', 'Mx', ...Array<string>(1000).fill('Dx'), 0),
    ],
    ['a status that is none', message('Z', Buffer.from('X'))],
    ['an empty status', message('Z')],
    ['a request for authentication', message('R', int32(99))],
  ])('%s, in the answer to a batch', (_, bytes) => {
    const reader = new Recorder()
    reader.receive = () => {
      throw new ProtocolError('not mine')
    }
    wire.addReader(reader)
    receive(bytes, 1000)
    expect(broken).toHaveLength(1)
    expect(broken[0]).toBeInstanceOf(ProtocolError)
    expect(reader.errors).toEqual([])
  })

  test('a message that is too long is refused by its header: what comes of it is not collected', () => {
    const reader = new Recorder()
    wire.addReader(reader)
    receive(Buffer.from([0x45, 0x20, 0x30, 0, 0]), 5)
    expect(broken[0]?.message).toMatch(/'E' that is too long/)
  })

  test('whatever is thrown while a message is read', () => {
    const reader = new Recorder()
    const thrown = new TypeError('undefined is not a function')
    reader.receive = () => {
      throw thrown
    }
    wire.addReader(reader)
    receive(bindComplete, 5)
    expect(broken[0]).toBeInstanceOf(ProtocolError)
    expect(broken[0]?.cause).toBe(thrown)
  })
})

describe('the severity of what the server says', () => {
  const severities = (bytes: Buffer): (string | undefined)[] => {
    const seen: (string | undefined)[] = []
    for (const event of ['errorMessage', 'notice'])
      wire.on(event, ({ severity }: { severity?: string }) => seen.push(severity))
    // A batch hears of its errors itself.
    const reader = {
      receive: () => undefined,
      receiveError: (error: Error) => void seen.push((error as { severity?: string }).severity),
    }
    wire.addReader(reader)
    receive(bytes, 7)
    return seen
  }
  const said = (type: string, ...fields: string[]): Buffer =>
    message(type, ...fields, 'C57P01', 'Mwörterbuch', 0)

  test.each<[what: string, bytes: Buffer, severity: string]>([
    ['an error in another language', said('E', 'SFEHLER', 'VERROR'), 'ERROR'],
    ['an end in another language', said('E', 'SSCHWERWIEGEND', 'VFATAL'), 'FATAL'],
    ['a notice in another language', said('N', 'SHINWEIS', 'VNOTICE'), 'NOTICE'],
    ['a server or a pooler that sends one field', said('E', 'SFATAL'), 'FATAL'],
    ['fields in another order', said('E', 'VPANIC', 'SPANIK'), 'PANIC'],
  ])('%s', (_what, bytes, severity) => {
    expect(severities(bytes)).toEqual([severity])
    expect(broken).toEqual([])
  })

  test('is not that of the message before', () => {
    expect(severities(Buffer.concat([said('N', 'SWARNUNG', 'VWARNING'), said('N', 'SNOTIZ')]))).toEqual([
      'WARNING',
      'NOTIZ',
    ])
  })
})
