import { describe, expect, test } from 'vitest'
import { ProtocolError } from '../../../src/driver/backend-messages.js'
import { ChannelBindingError } from '../../../src/driver/connect-failure.js'
import { StartupGuard, type StartupRules } from '../../../src/driver/startup-guard.js'
import { dataRow, errorResponse, int32, message, readyForQuery } from './backend-messages.js'

const HEADER_BYTES = 5
const PLUS = 'SCRAM-SHA-256-PLUS'
const REQUIRED: StartupRules = { channelBinding: 'require', encrypted: true }

const ok = message('R', int32(0))
const cleartext = message('R', int32(3))
const md5 = message('R', int32(5), int32(1))
const sasl = (...mechanisms: string[]): Buffer => message('R', int32(10), ...mechanisms, 0)
const challenge = message('R', int32(11), Buffer.from('r=x,s=eA==,i=4096'))
const final = message('R', int32(12), Buffer.from('v=eA=='))
const key = message('K', int32(1), int32(2))

/** What happens in turn: a message of the server, or what node-postgres sends. */
type Event = Buffer | 'PLUS' | 'plain SCRAM' | 'proof'

/** Lets the events happen, and says what the last one leads to. */
function after(events: readonly Event[], rules: Partial<StartupRules> = {}): unknown {
  const guard = new StartupGuard({ channelBinding: 'disable', encrypted: false, ...rules })
  const receive = (bytes: Buffer): boolean =>
    guard.admits(bytes[0] as number, bytes, HEADER_BYTES, bytes.length)
  const happen = (event: Event): unknown => {
    if (event === 'PLUS') return guard.chose(PLUS)
    if (event === 'plain SCRAM') return guard.chose('SCRAM-SHA-256')
    if (event === 'proof') return guard.answered()
    return receive(event)
  }
  for (const event of events.slice(0, -1)) happen(event)
  try {
    return happen(events[events.length - 1] as Event)
  } catch (error) {
    return error
  }
}

const SCRAM: readonly Event[] = [sasl('SCRAM-SHA-256'), 'plain SCRAM', challenge, 'proof', final]
const BOUND: readonly Event[] = [sasl(PLUS, 'SCRAM-SHA-256'), 'PLUS', challenge, 'proof', final]

describe('the ways to be let in', () => {
  test.each<[string, readonly Event[]]>([
    ['without authentication', []],
    ['by a password in clear text', [cleartext]],
    ['by MD5', [md5]],
    ['by SCRAM', SCRAM],
    ['by SCRAM bound to TLS', BOUND],
  ])('%s', (_, way) => {
    for (let length = 1; length <= way.length; length++) {
      expect(after(way.slice(0, length))).not.toBeInstanceOf(Error)
    }
    for (const rest of [[ok], [ok, key], [ok, key, readyForQuery()], [ok, readyForQuery()]]) {
      expect(after([...way, ...rest])).toBe(true)
    }
    expect(after([...way, errorResponse('28P01', 'no')])).toBe(true)
  })
})

describe('what has no place ends the connect', () => {
  test.each<[string, readonly Event[]]>([
    ['ReadyForQuery before anything', [readyForQuery()]],
    ['ReadyForQuery before the authentication is over', [cleartext, readyForQuery()]],
    ['ReadyForQuery in a transaction', [ok, readyForQuery('T')]],
    ['the key before the authentication is over', [key]],
    ['two keys', [ok, key, key]],
    ['a row', [ok, dataRow(['1'])]],
    ['two requests for a password', [cleartext, cleartext]],
    ['a request for a password after SASL', [...SCRAM, cleartext]],
    ['an end of the authentication that was not begun with SASL', [final]],
    ['a challenge that was not begun', [challenge]],
    ['a challenge before the client has chosen', [sasl(PLUS), challenge]],
    ['SASL that is let in at once', [sasl(PLUS), ok]],
    ['SASL that is let in without the proof of the server', [sasl(PLUS), 'PLUS', challenge, 'proof', ok]],
    ['a proof of the server before that of the client', [sasl(PLUS), 'PLUS', challenge, final]],
    ['a second welcome', [ok, ok]],
    ['a welcome with more behind it', [message('R', int32(0), int32(0))]],
    ['MD5 without its salt', [message('R', int32(5))]],
    ['MD5 with half a salt', [message('R', int32(5), Buffer.from('xx'))]],
    ['SASL without mechanisms', [message('R', int32(10), 0)]],
    ['SASL whose list has no end', [message('R', int32(10), Buffer.from(PLUS))]],
    ['SASL with bytes behind its list', [message('R', int32(10), PLUS, 0, 0)]],
    ['an unknown request', [message('R', int32(99))]],
  ])('%s', (_, events) => {
    expect(after(events)).toBeInstanceOf(ProtocolError)
  })

  test('what is not supported is named', () => {
    expect(after([message('R', int32(7))])).toMatchObject({
      message: expect.stringContaining('GSSAPI') as string,
    })
  })
})

describe('channel_binding=require', () => {
  test('is met by SCRAM-SHA-256-PLUS that was run to its end', () => {
    for (let length = 1; length <= BOUND.length; length++) {
      expect(after(BOUND.slice(0, length), REQUIRED)).not.toBeInstanceOf(Error)
    }
    expect(after([...BOUND, ok], REQUIRED)).toBe(true)
    expect(after([...BOUND, ok, key, readyForQuery()], REQUIRED)).toBe(true)
  })

  test.each<[string, readonly Event[], Partial<StartupRules>]>([
    ['no authentication', [ok], {}],
    ['a password in clear text', [cleartext], {}],
    ['MD5', [md5], {}],
    ['SCRAM that is not bound', [sasl('SCRAM-SHA-256')], {}],
    [
      'SCRAM that is offered bound, and run unbound',
      [...BOUND.map((event) => (event === 'PLUS' ? 'plain SCRAM' : event)), ok],
      {},
    ],
    ['an offer over plain text', [sasl(PLUS)], { encrypted: false }],
    ['all of it over plain text', [ok], { encrypted: false }],
  ])('refuses %s', (_, events, rules) => {
    expect(after(events, { ...REQUIRED, ...rules })).toBeInstanceOf(ChannelBindingError)
  })

  test('is not met by a welcome in the middle of it', () => {
    for (let length = 1; length < BOUND.length; length++) {
      expect(after([...BOUND.slice(0, length), ok], REQUIRED)).toBeInstanceOf(ProtocolError)
    }
  })
})
