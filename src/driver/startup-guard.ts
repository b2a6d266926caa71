/**
 * Decides which messages a server may send until it is ready, and whether it has proved what the caller asks for.
 *
 *   request ──▶ password (clear text, MD5) ──────────────────────────────────────▶ welcome ──▶ ready
 *      │                                                                              ▲
 *      ├────▶ SASL: offered ──▶ challenged (server-first) ──▶ proved (server-final) ──┤
 *      └──────────────────────── (no authentication) ─────────────────────────────────┘
 *
 * With `channel_binding=require` only one way leads to `welcome`: SCRAM-SHA-256-PLUS over TLS, with a server-final message whose
 * signature node-postgres has verified. Anything else is refused before the password, or a proof of it, is sent.
 */
import {
  AUTHENTICATION,
  BACKEND_KEY_DATA,
  ERROR_RESPONSE,
  ProtocolError,
  READY_FOR_QUERY,
  STATUS_IDLE,
  malformed,
  textEnd,
  unexpected,
} from './backend-messages.js'
import { ChannelBindingError } from './connect-failure.js'
import type { StartupWatch } from './wire-connection.js'

const OK = 0
const CLEARTEXT_PASSWORD = 3
const MD5_PASSWORD = 5
const SASL = 10
const SASL_CONTINUE = 11
const SASL_FINAL = 12

const UNSUPPORTED: ReadonlyMap<number, string> = new Map([
  [2, 'Kerberos'],
  [6, 'SCM'],
  [7, 'GSSAPI'],
  [9, 'SSPI'],
])

/** The mechanism that proves that the server knows the password and is the one at the other end of this TLS connection. */
const BINDING_MECHANISM = 'SCRAM-SHA-256-PLUS'

const CODE_BYTES = 4
const SALT_BYTES = 4

/** What the caller requires of the start-up. */
export interface StartupRules {
  readonly channelBinding: 'disable' | 'prefer' | 'require'
  readonly encrypted: boolean
}

type State = 'request' | 'password' | 'offered' | 'challenged' | 'proved' | 'welcome'

export class StartupGuard implements StartupWatch {
  readonly #rules: StartupRules
  #state: State = 'request'
  /** The mechanism that node-postgres has chosen. */
  #mechanism: string | undefined
  /** The proof of the password was sent. */
  #answered = false
  #hasKey = false

  constructor(rules: StartupRules) {
    this.#rules = rules
  }

  chose(mechanism: string): void {
    this.#mechanism = mechanism
  }

  answered(): void {
    this.#answered = true
  }

  /** @throws ChannelBindingError if the server authenticates in another way than the caller asks for; ProtocolError. */
  admits(type: number, buffer: Buffer, start: number, end: number): boolean {
    switch (type) {
      case AUTHENTICATION:
        this.#authentication(buffer, start, end)
        return true
      case BACKEND_KEY_DATA:
        if (this.#state !== 'welcome' || this.#hasKey) break
        this.#hasKey = true
        return true
      case READY_FOR_QUERY:
        if (this.#state !== 'welcome' || buffer[start] !== STATUS_IDLE) break
        return true
      case ERROR_RESPONSE:
        return true
    }
    throw unexpected(type, 'while connecting')
  }

  /** Checks a request for authentication: its body, and whether it may come in this state. */
  #authentication(buffer: Buffer, start: number, end: number): void {
    const code = buffer.readUInt32BE(start)
    const bodyBytes = end - start - CODE_BYTES
    switch (code) {
      case OK:
        return this.#move(code, bodyBytes === 0, ['request', 'password', 'proved'], 'welcome')
      case CLEARTEXT_PASSWORD:
        return this.#move(code, bodyBytes === 0, ['request'], 'password')
      case MD5_PASSWORD:
        return this.#move(code, bodyBytes === SALT_BYTES, ['request'], 'password')
      case SASL: {
        const mechanisms = mechanismsOf(buffer, start + CODE_BYTES, end)
        this.#requireOffer(mechanisms)
        return this.#move(code, mechanisms.length > 0, ['request'], 'offered')
      }
      case SASL_CONTINUE:
        return this.#move(code, this.#mechanism !== undefined, ['offered'], 'challenged')
      case SASL_FINAL:
        return this.#move(code, this.#answered, ['challenged'], 'proved')
    }
    const name = UNSUPPORTED.get(code)
    throw new ProtocolError(
      name === undefined
        ? `The server sent an unknown request for authentication (${code})`
        : `The server asks for authentication by ${name}, which is not supported`,
    )
  }

  #move(code: number, isWellFormed: boolean, from: readonly State[], to: State): void {
    if (!isWellFormed) throw malformed(AUTHENTICATION)
    if (!from.includes(this.#state)) throw unexpected(AUTHENTICATION, `while connecting (${code})`)
    if (code === OK || to === 'password') this.#requireBinding()
    this.#state = to
  }

  /** Called before the client answers, so that nothing is sent to a server that does not bind. */
  #requireOffer(mechanisms: readonly string[]): void {
    if (this.#rules.channelBinding !== 'require') return
    if (!this.#rules.encrypted)
      throw refused('the connection is not encrypted, so there is nothing to bind to')
    if (!mechanisms.includes(BINDING_MECHANISM))
      throw refused(`the server does not offer ${BINDING_MECHANISM}`)
  }

  /** The server's signature is right: after a wrong one node-postgres reports an error, and nothing more is read. */
  #requireBinding(): void {
    const { channelBinding, encrypted } = this.#rules
    if (channelBinding !== 'require') return
    if (encrypted && this.#state === 'proved' && this.#mechanism === BINDING_MECHANISM) return
    throw refused(`the server does not authenticate by ${BINDING_MECHANISM}`)
  }
}

function refused(reason: string): ChannelBindingError {
  return new ChannelBindingError(`channel_binding=require, and ${reason}`)
}

/** Zero-terminated names, then a zero byte. */
function mechanismsOf(buffer: Buffer, start: number, end: number): string[] {
  const mechanisms: string[] = []
  let at = start
  while (at < end && buffer[at] !== 0) {
    const zero = textEnd(buffer, at, end)
    if (zero === -1) throw malformed(AUTHENTICATION)
    mechanisms.push(buffer.toString('latin1', at, zero))
    at = zero + 1
  }
  if (at !== end - 1) throw malformed(AUTHENTICATION)
  return mechanisms
}
