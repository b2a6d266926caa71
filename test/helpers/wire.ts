/** Cuts the two byte streams of a PostgreSQL connection (protocol 3) into messages. */

/** One message, or the bytes that stand for one where the protocol has no frame. */
export interface WireMessage {
  /** Its name in PostgreSQL's documentation: `Parse`, `CommandComplete`; `Encrypted` inside of TLS. */
  readonly name: string
  /**
   * What a test asks about: the SQL of Query and Parse, the statement's name of Bind, the tag of CommandComplete, the
   * status of ReadyForQuery (`I`, `T`, `E`), the SQLSTATE of ErrorResponse and NoticeResponse. Otherwise empty.
   */
  readonly text: string
  readonly bytes: Buffer
}

const FRONTEND: Readonly<Record<string, string>> = {
  Q: 'Query',
  P: 'Parse',
  B: 'Bind',
  D: 'Describe',
  E: 'Execute',
  C: 'Close',
  S: 'Sync',
  H: 'Flush',
  X: 'Terminate',
  F: 'FunctionCall',
  p: 'PasswordMessage',
  d: 'CopyData',
  c: 'CopyDone',
  f: 'CopyFail',
}

const BACKEND: Readonly<Record<string, string>> = {
  R: 'Authentication',
  K: 'BackendKeyData',
  S: 'ParameterStatus',
  Z: 'ReadyForQuery',
  '1': 'ParseComplete',
  '2': 'BindComplete',
  '3': 'CloseComplete',
  t: 'ParameterDescription',
  T: 'RowDescription',
  D: 'DataRow',
  n: 'NoData',
  C: 'CommandComplete',
  I: 'EmptyQueryResponse',
  E: 'ErrorResponse',
  N: 'NoticeResponse',
  s: 'PortalSuspended',
  A: 'NotificationResponse',
  G: 'CopyInResponse',
  H: 'CopyOutResponse',
  W: 'CopyBothResponse',
  d: 'CopyData',
  c: 'CopyDone',
  v: 'NegotiateProtocolVersion',
}

const SSL_REQUEST = 80877103
const REQUESTS: Readonly<Record<number, string>> = {
  80877102: 'CancelRequest',
  [SSL_REQUEST]: 'SSLRequest',
  80877104: 'GSSENCRequest',
}

/** Both directions of one connection: how the server's bytes are to be read depends on what the client said. */
export class WireParser {
  #client: Buffer = Buffer.alloc(0)
  #server: Buffer = Buffer.alloc(0)
  #phase: 'startup' | 'answer' | 'messages' | 'encrypted' = 'startup'

  /** The messages that are complete now; the rest waits for the next call. */
  fromClient(chunk: Buffer): WireMessage[] {
    if (this.#phase === 'startup' && this.#client.length === 0 && chunk[0] === 0x16) this.#phase = 'encrypted'
    if (this.#phase === 'encrypted') return [encrypted(chunk)]
    this.#client = Buffer.concat([this.#client, chunk])
    const messages: WireMessage[] = []
    for (;;) {
      const startup = this.#phase !== 'messages'
      const bytes = this.#take('client', startup ? 0 : 1)
      if (bytes === undefined) return messages
      messages.push(startup ? this.#startup(bytes) : frontendMessage(bytes))
    }
  }

  /** The same for the other direction. */
  fromServer(chunk: Buffer): WireMessage[] {
    if (this.#phase === 'encrypted') return [encrypted(chunk)]
    this.#server = Buffer.concat([this.#server, chunk])
    const messages: WireMessage[] = []
    if (this.#phase === 'answer' && this.#server.length > 0) {
      const bytes = this.#server.subarray(0, 1)
      this.#server = this.#server.subarray(1)
      messages.push({ name: 'EncryptionResponse', text: bytes.toString('latin1'), bytes })
      this.#phase = bytes[0] === 0x4e /* N */ ? 'startup' : 'encrypted'
    }
    for (;;) {
      const bytes = this.#take('server', 1)
      if (bytes === undefined) return messages
      messages.push(backendMessage(bytes))
    }
  }

  #take(side: 'client' | 'server', prefix: 0 | 1): Buffer | undefined {
    const buffer = side === 'client' ? this.#client : this.#server
    if (buffer.length < prefix + 4) return undefined
    const end = prefix + buffer.readUInt32BE(prefix)
    if (buffer.length < end) return undefined
    if (side === 'client') this.#client = buffer.subarray(end)
    else this.#server = buffer.subarray(end)
    return buffer.subarray(0, end)
  }

  #startup(bytes: Buffer): WireMessage {
    const name = REQUESTS[bytes.readUInt32BE(4)] ?? 'StartupMessage'
    if (name === 'StartupMessage') this.#phase = 'messages'
    else if (name !== 'CancelRequest') this.#phase = 'answer'
    return { name, text: '', bytes }
  }
}

function encrypted(bytes: Buffer): WireMessage {
  return { name: 'Encrypted', text: '', bytes }
}

function frontendMessage(bytes: Buffer): WireMessage {
  const name = FRONTEND[String.fromCharCode(bytes[0] ?? 0)] ?? 'Unknown'
  if (name === 'Query') return { name, text: cString(bytes, 5).text, bytes }
  // Parse: the statement's name, then the SQL. Bind: the portal's name, then the statement's.
  const text = name === 'Parse' || name === 'Bind' ? cString(bytes, cString(bytes, 5).end).text : ''
  return { name, text, bytes }
}

function backendMessage(bytes: Buffer): WireMessage {
  const name = BACKEND[String.fromCharCode(bytes[0] ?? 0)] ?? 'Unknown'
  if (name === 'CommandComplete') return { name, text: cString(bytes, 5).text, bytes }
  if (name === 'ReadyForQuery') return { name, text: bytes.toString('latin1', 5, 6), bytes }
  const text = name === 'ErrorResponse' || name === 'NoticeResponse' ? errorField(bytes, 'C') : ''
  return { name, text, bytes }
}

function errorField(bytes: Buffer, wanted: string): string {
  for (let at = 5; at < bytes.length - 1;) {
    const code = String.fromCharCode(bytes[at] ?? 0)
    const field = cString(bytes, at + 1)
    if (code === wanted) return field.text
    at = field.end
  }
  return ''
}

/** An ErrorResponse with these fields, by their letters. */
export function errorResponse(fields: Readonly<Record<string, string>>): Buffer {
  const text = Object.entries(fields)
    .map(([letter, value]) => `${letter}${value}\0`)
    .join('')
  const body = Buffer.from(`${text}\0`)
  const head = Buffer.from('E\0\0\0\0')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

/** A zero-terminated string and the position behind it. */
export function cString(bytes: Buffer, start: number): { readonly text: string; readonly end: number } {
  const zero = bytes.indexOf(0, start)
  return { text: bytes.toString('utf8', start, zero), end: zero + 1 }
}
