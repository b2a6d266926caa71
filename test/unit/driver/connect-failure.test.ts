import { describe, expect, test } from 'vitest'
import {
  ChannelBindingError,
  type ConnectPhase,
  FailedPhase,
  NoPasswordError,
  connectFailure,
} from '../../../src/driver/connect-failure.js'
import { TlsRefusedError } from '../../../src/driver/socket.js'
import { TlsFileError } from '../../../src/driver/tls.js'
import type { ConnectError } from '../../../src/errors.js'

function failure(error: unknown, phase: ConnectPhase = 'authentication'): ConnectError {
  return connectFailure(new FailedPhase(phase, error), 'me@db:5432/songs')
}

function withCode(code: string, message = 'failed', more: object = {}): Error {
  return Object.assign(new Error(message), { code, ...more })
}

function answer(code: string, message?: string): Error {
  return withCode(code, message, { severity: 'FATAL' })
}

describe('waiting cannot help', () => {
  test.each(['28000', '28P01', '3D000', '42501', '42704', '22023', '55000', '0A000'])(
    'when the server says %s',
    (code) => expect(failure(answer(code))).toMatchObject({ fatal: true, sqlState: code }),
  )

  test.each<[string, unknown, ConnectPhase]>([
    ['the host is unknown', withCode('ENOTFOUND'), 'socket'],
    ['the socket may not be opened', withCode('EACCES'), 'socket'],
    ['the server refuses TLS', new TlsRefusedError('no'), 'tls'],
    ['the certificate is not for this host', withCode('ERR_TLS_CERT_ALTNAME_INVALID'), 'tls'],
    ['the certificate is of an unknown authority', withCode('SELF_SIGNED_CERT_IN_CHAIN'), 'tls'],
    ['the server dislikes our certificate', withCode('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'), 'authentication'],
    ['a file is missing', new TlsFileError('sslkey cannot be read'), 'certificates'],
    ['there is no password', new NoPasswordError('none'), 'authentication'],
    ['the password function throws', withCode('ECONNREFUSED'), 'password'],
    ['the password function throws no error', 'oops', 'password'],
    ['channel binding is not done', new ChannelBindingError('no'), 'authentication'],
    ['node-postgres dislikes the authentication', new Error('SASL: nonce'), 'authentication'],
  ])('when %s', (_, error, phase) => expect(failure(error, phase).fatal).toBe(true))

  test('when PgBouncer does not know a setting, whatever its SQLSTATE', () => {
    const error = failure(answer('08P01', 'unsupported startup parameter: search_path'))
    expect(error).toMatchObject({ fatal: true, sqlState: '08P01' })
    expect(error.message).toContain('ignore_startup_parameters')
  })
})

describe('waiting may help', () => {
  test.each(['08006', '08P01', '53300', '53400', '57P01', '57P03', '57014', '58030', 'XX000', '55006'])(
    'when the server says %s',
    (code) => expect(failure(answer(code))).toMatchObject({ fatal: false, sqlState: code }),
  )

  test.each([
    'ECONNREFUSED',
    'ECONNRESET',
    'EAI_AGAIN',
    'ETIMEDOUT',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'EPIPE',
    'ENOENT',
  ])('when the socket says %s', (code) =>
    expect(failure(withCode(code), 'socket')).toMatchObject({ fatal: false, sqlState: undefined }),
  )

  test('when the server hangs up, or time is up', () => {
    expect(failure(new Error('Connection terminated unexpectedly')).fatal).toBe(false)
    expect(failure(new DOMException('time is up', 'TimeoutError')).fatal).toBe(false)
    expect(failure(withCode('ECONNRESET'), 'tls').fatal).toBe(false)
  })
})

describe('the message says what, where and what to do', () => {
  test.each<[unknown, ConnectPhase, string]>([
    [
      answer('28P01', 'password authentication failed for user "me"'),
      'authentication',
      'password authentication failed for user "me" (28P01). Check the user name and the password.',
    ],
    [
      withCode('ENOTFOUND', 'getaddrinfo ENOTFOUND db'),
      'socket',
      'the host is unknown (ENOTFOUND). Check the name of the host.',
    ],
    [new DOMException('', 'TimeoutError'), 'socket', 'timed out while opening the socket.'],
    [new DOMException('', 'TimeoutError'), 'tls', 'timed out while negotiating TLS.'],
    [new DOMException('', 'TimeoutError'), 'password', 'timed out while waiting for the password function.'],
    [
      new Error('Connection terminated'),
      'authentication',
      'the server closed the connection while authenticating.',
    ],
    [
      withCode('SELF_SIGNED_CERT_IN_CHAIN', 'self-signed certificate in certificate chain'),
      'tls',
      'self-signed certificate in certificate chain (SELF_SIGNED_CERT_IN_CHAIN). Give the authority that signed it as sslrootcert.',
    ],
    [new Error('SASL: what?'), 'authentication', 'SASL: what?.'],
  ])('%j during %s', (error, phase, text) => {
    expect(failure(error, phase).message).toBe(`Cannot connect to me@db:5432/songs: ${text}`)
  })

  test('without a word of what the password function threw: that is in the cause', () => {
    const cause = new Error('vault token s3cret expired')
    expect(failure(cause, 'password').message).not.toContain('s3cret')
    expect(failure(cause, 'password').cause).toBe(cause)
  })
})
