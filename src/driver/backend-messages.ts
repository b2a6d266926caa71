/**
 * The format of the server's messages (protocol 3), and the check of each message before it is used.
 *
 * 1. node-postgres's parser does not check its input: a string without its terminator keeps it busy forever, and a truncated field
 *    ends the process. So only checked messages reach it.
 * 2. A message that is longer than any server sends is refused by its header, before its body is collected.
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */

/** The server broke the protocol: its later messages cannot be understood, so the connection is closed. */
export class ProtocolError extends Error {
  override readonly name: string = 'ProtocolError'
  /** True: the server is busy, so another attempt may succeed. */
  readonly mayPass: boolean

  constructor(message: string, options?: ErrorOptions & { readonly mayPass?: boolean }) {
    super(message, options)
    this.mayPass = options?.mayPass === true
  }
}

export const AUTHENTICATION = 0x52
export const BACKEND_KEY_DATA = 0x4b
export const BIND_COMPLETE = 0x32
export const CLOSE_COMPLETE = 0x33
export const COMMAND_COMPLETE = 0x43
export const COPY_BOTH = 0x57
export const COPY_DATA = 0x64
export const COPY_DONE = 0x63
export const COPY_IN = 0x47
export const COPY_OUT = 0x48
export const DATA_ROW = 0x44
export const EMPTY_QUERY = 0x49
export const ERROR_RESPONSE = 0x45
export const NO_DATA = 0x6e
export const NOTICE_RESPONSE = 0x4e
export const NOTIFICATION = 0x41
export const PARAMETER_STATUS = 0x53
export const PARSE_COMPLETE = 0x31
export const PORTAL_SUSPENDED = 0x73
export const READY_FOR_QUERY = 0x5a
export const ROW_DESCRIPTION = 0x54

export const STATUS_IDLE = 0x49
export const STATUS_TRANSACTION = 0x54
export const STATUS_FAILED = 0x45

/** Type and length stand before each body; the length counts itself. */
export const HEADER_BYTES = 5
const LENGTH_BYTES = 4

const KIBIBYTE = 1024
const MEBIBYTE = 1024 * KIBIBYTE
/** PostgreSQL builds no message of a gigabyte. */
const LONGEST_ROW = 1024 * MEBIBYTE
/** An error or a notice can quote a value, but becomes a string, and those end at half a gigabyte. */
const LONGEST_REPORT = 64 * MEBIBYTE
const LONGEST_REST = MEBIBYTE
/** Messages before authentication. libpq takes less. */
const LONGEST_AT_STARTUP = 64 * KIBIBYTE

/** The smallest length in the header of a DataRow: its own four bytes, and the number of columns. */
export const SHORTEST_ROW: number = LENGTH_BYTES + 2
export const GREATEST_ROW: number = LENGTH_BYTES + LONGEST_ROW

const LONGEST: ReadonlyMap<number, number> = new Map([
  [AUTHENTICATION, LONGEST_AT_STARTUP],
  [BACKEND_KEY_DATA, 8],
  [BIND_COMPLETE, 0],
  [CLOSE_COMPLETE, 0],
  [COMMAND_COMPLETE, LONGEST_REST],
  [COPY_BOTH, LONGEST_REST],
  [COPY_DATA, LONGEST_ROW],
  [COPY_DONE, 0],
  [COPY_IN, LONGEST_REST],
  [COPY_OUT, LONGEST_REST],
  [DATA_ROW, LONGEST_ROW],
  [EMPTY_QUERY, 0],
  [ERROR_RESPONSE, LONGEST_REPORT],
  [NO_DATA, 0],
  [NOTICE_RESPONSE, LONGEST_REPORT],
  [NOTIFICATION, LONGEST_REST],
  [PARAMETER_STATUS, LONGEST_REST],
  [PARSE_COMPLETE, 0],
  [PORTAL_SUSPENDED, 0],
  [READY_FOR_QUERY, 1],
  [ROW_DESCRIPTION, LONGEST_REST],
])

/** The greatest length in the header of each type of message; 0 for a type that no server sends. */
const GREATEST_LENGTH: Readonly<Int32Array> = Int32Array.from({ length: 256 }, (_, type) => {
  const body = LONGEST.get(type)
  return body === undefined ? 0 : LENGTH_BYTES + body
})

/**
 * Checks the header of a message, before its body is collected.
 * @param length The length in the header.
 * @throws ProtocolError
 */
export function checkHeader(type: number, length: number, isStartup: boolean): void {
  const greatest = GREATEST_LENGTH[type] as number
  if (length >= LENGTH_BYTES && length <= greatest && !(isStartup && length > LONGEST_AT_STARTUP)) return
  if (greatest === 0) throw new ProtocolError(`The server sent a message of an unknown type, ${nameOf(type)}`)
  if (isStartup && type === ERROR_RESPONSE && length > LONGEST_AT_STARTUP) {
    const message =
      'The server sent an error in the format of protocol 2, as PostgreSQL does when it cannot start a process'
    throw new ProtocolError(message, { mayPass: true })
  }
  const kind = length < LENGTH_BYTES ? 'too short' : 'too long'
  throw new ProtocolError(`The server sent a message ${nameOf(type)} that is ${kind}: ${length} bytes`)
}

/**
 * Checks the body of a message that node-postgres parses, or that is read for its text.
 * @throws ProtocolError
 */
export function checkBody(type: number, buffer: Buffer, start: number, end: number): void {
  if (!hasBody(type, buffer, start, end)) throw malformed(type)
}

function hasBody(type: number, buffer: Buffer, start: number, end: number): boolean {
  switch (type) {
    case AUTHENTICATION:
      return end - start >= 4
    case BACKEND_KEY_DATA:
      return end - start === 8
    case COMMAND_COMPLETE:
      return hasTexts(buffer, start, end, 1)
    case COPY_BOTH:
    case COPY_IN:
    case COPY_OUT:
      return end - start >= 3 && end - start === 3 + 2 * buffer.readUInt16BE(start + 1)
    case ERROR_RESPONSE:
      return reportFields(buffer, start, end) === ERROR_FIELDS
    case NOTICE_RESPONSE:
      return reportFields(buffer, start, end) !== undefined
    case NOTIFICATION:
      return end - start >= 4 && hasTexts(buffer, start + 4, end, 2)
    case PARAMETER_STATUS:
      return hasTexts(buffer, start, end, 2)
    case READY_FOR_QUERY:
      return end - start === 1 && isStatus(buffer[start])
    default:
      // A message without a body is checked by its length. The row reader checks rows and their descriptions.
      return true
  }
}

/** The error of a message whose body does not fit its type. */
export function malformed(type: number): ProtocolError {
  return new ProtocolError(`The server sent a malformed message ${nameOf(type)}`)
}

/** The error of a message that is not allowed at this point. */
export function unexpected(type: number, where: string): ProtocolError {
  return new ProtocolError(`The server sent a message ${nameOf(type)} that is not expected ${where}`)
}

/** `'D'` for 0x44; its number where it is no letter. */
function nameOf(type: number): string {
  const isPrintable = type > 0x20 && type < 0x7f
  return isPrintable ? `'${String.fromCharCode(type)}'` : `0x${type.toString(16).padStart(2, '0')}`
}

function isStatus(status: number | undefined): boolean {
  return status === STATUS_IDLE || status === STATUS_TRANSACTION || status === STATUS_FAILED
}

/** Zero-terminated texts, and nothing after them. */
function hasTexts(buffer: Buffer, start: number, end: number, count: number): boolean {
  let at = start
  for (let index = 0; index < count; index++) {
    at = textEnd(buffer, at, end) + 1
    if (at === 0) return false
  }
  return at === end
}

/** Where the zero byte of the text is; -1 if there is none before `end`. */
export function textEnd(buffer: Buffer, start: number, end: number): number {
  const zero = start < end ? buffer.indexOf(0, start) : -1
  return zero < end ? zero : -1
}

const SEVERITY = 0x53
const UNTRANSLATED_SEVERITY = 0x56
const CODE = 0x43
const MESSAGE = 0x4d
const SQL_STATE_BYTES = 5
/** PostgreSQL knows 18 fields. */
const MOST_FIELDS = 64

/** Severity (1), message (2) and SQLSTATE (4): without them an error does not tell the outcome of its statement. */
const ERROR_FIELDS = 1 | 2 | 4

/**
 * The fields of {@link ERROR_FIELDS} that an ErrorResponse or NoticeResponse has; undefined if it is malformed. Each field is a
 * byte and a text; a zero byte ends the message.
 */
function reportFields(buffer: Buffer, start: number, end: number): number | undefined {
  let at = start
  let found = 0
  for (let count = 0; at < end && buffer[at] !== 0; count++) {
    const field = buffer[at]
    const zero = textEnd(buffer, at + 1, end)
    if (zero === -1 || count === MOST_FIELDS) return undefined
    if (field === SEVERITY) found |= 1
    else if (field === MESSAGE) found |= 2
    else if (field === CODE && zero - at - 1 === SQL_STATE_BYTES) found |= 4
    at = zero + 1
  }
  return at === end - 1 ? found : undefined
}

/**
 * The severity of an ErrorResponse or NoticeResponse as PostgreSQL calls it in every language (field V); undefined before
 * PostgreSQL 9.6, and where a pooler speaks that does not send it.
 */
export function severityOf(buffer: Buffer, start: number, end: number): string | undefined {
  for (let at = start; at < end && buffer[at] !== 0;) {
    const zero = textEnd(buffer, at + 1, end)
    if (zero === -1) return undefined
    if (buffer[at] === UNTRANSLATED_SEVERITY) return buffer.toString('latin1', at + 1, zero)
    at = zero + 1
  }
  return undefined
}

/** True if the server ends the session with this error. */
export function isFatal(error: Error): boolean {
  const { severity } = error as { severity?: string }
  return severity === 'FATAL' || severity === 'PANIC'
}
