/**
 * Reads and writes those messages of PostgreSQL's protocol that PGlite's stream needs to know.
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */

/** One message with its frame. */
export interface Message {
  /** 0 for the first message of a connection, which has no type. */
  readonly type: number
  readonly bytes: Buffer
}

export const NOTIFICATION = 0x41
export const ERROR_RESPONSE = 0x45
const PARSE = 0x50
const BIND = 0x42
const DESCRIBE = 0x44
const CLOSE = 0x43
const STATEMENT = 0x53
/** The state in ReadyForQuery outside of a transaction. */
export const IDLE = 0x49
export const READY_FOR_QUERY = 0x5a
export const QUERY = 0x51
export const SYNC = 0x53
export const TERMINATE = 0x58

const TYPE_BYTES = 1
const LENGTH_BYTES = 4
const PROCESS_ID_BYTES = 4

/** The messages that are whole, in order. */
export function* messagesOf(given: Uint8Array): Generator<Message> {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength)
  for (let at = 0; at + TYPE_BYTES + LENGTH_BYTES <= bytes.length;) {
    const end = at + TYPE_BYTES + bytes.readUInt32BE(at + TYPE_BYTES)
    if (end > bytes.length) return
    yield { type: bytes[at] as number, bytes: bytes.subarray(at, end) }
    at = end
  }
}

/** The first message of a connection, if it is whole. */
export function firstMessage(bytes: Buffer): Message | undefined {
  if (bytes.length < LENGTH_BYTES) return undefined
  const end = bytes.readUInt32BE(0)
  return end > bytes.length ? undefined : { type: 0, bytes: bytes.subarray(0, end) }
}

/** What a first message asks for: the version of the protocol, or another code. */
export function requestCode({ bytes }: Message): number {
  return bytes.readUInt32BE(LENGTH_BYTES)
}

/** The parameters of a startup message. */
export function startupParameters({ bytes }: Message): [name: string, value: string][] {
  const texts = bytes.toString('utf8', 2 * LENGTH_BYTES).split('\0')
  const parameters: [string, string][] = []
  for (let at = 0; at + 1 < texts.length && texts[at] !== ''; at += 2)
    parameters.push([texts[at] as string, texts[at + 1] as string])
  return parameters
}

/** A statement of the simple query protocol. */
export function query(text: string): Buffer {
  return message(QUERY, Buffer.from(`${text}\0`))
}

/** The text of a Query message. */
export function queryText({ bytes }: Message): string {
  return bytes.toString('utf8', TYPE_BYTES + LENGTH_BYTES, bytes.length - 1)
}

/** A notification, of the one backend that there is. */
export function notification(channel: string, payload: string): Buffer {
  return message(
    NOTIFICATION,
    Buffer.concat([Buffer.alloc(PROCESS_ID_BYTES), Buffer.from(`${channel}\0${payload}\0`)]),
  )
}

/** The answer to a batch that was not run, outside of a transaction. */
export function refusal(sqlState: string, text: string): Buffer {
  const fields = ['SERROR', 'VERROR', `C${sqlState}`, `M${text}`]
  return Buffer.concat([
    message(ERROR_RESPONSE, Buffer.from(`${fields.join('\0')}\0\0`)),
    message(READY_FOR_QUERY, Buffer.from([IDLE])),
  ])
}

/** The message with a prefix before the name of its prepared statement, if it names one. */
export function withPrefix({ type, bytes }: Message, prefix: string): Buffer {
  const at = placeOfName(type, bytes)
  // The unnamed statement is not kept.
  if (at === undefined || bytes[at] === 0) return bytes
  const [before, after] = [bytes.subarray(TYPE_BYTES + LENGTH_BYTES, at), bytes.subarray(at)]
  return message(type, Buffer.concat([before, Buffer.from(prefix), after]))
}

/** Where the name of a prepared statement begins. */
function placeOfName(type: number, bytes: Buffer): number | undefined {
  const body = TYPE_BYTES + LENGTH_BYTES
  if (type === PARSE) return body
  // Behind the name of the portal.
  if (type === BIND) return bytes.indexOf(0, body) + 1
  if ((type === DESCRIBE || type === CLOSE) && bytes[body] === STATEMENT) return body + 1
  return undefined
}

function message(type: number, body: Buffer): Buffer {
  const head = Buffer.alloc(TYPE_BYTES + LENGTH_BYTES)
  head[0] = type
  head.writeUInt32BE(LENGTH_BYTES + body.length, TYPE_BYTES)
  return Buffer.concat([head, body])
}
