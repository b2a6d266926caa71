/** What a server says, as bytes. */

/** One message: its type, then its body. */
export function message(type: string, ...parts: readonly (Buffer | string | number)[]): Buffer {
  const body = Buffer.concat(parts.map(bytesOf))
  const head = Buffer.alloc(5)
  head.write(type, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

export function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

/** Texts are zero-terminated, numbers single bytes. */
function bytesOf(part: Buffer | string | number): Buffer {
  if (typeof part === 'string') return Buffer.from(`${part}\0`)
  return typeof part === 'number' ? Buffer.of(part) : part
}

/** Columns of RowDescription, all of the type. */
export function rowDescription(names: readonly string[], oid = 25): Buffer {
  const columns = names.map((name, index) =>
    Buffer.concat([bytesOf(name), int32(4711), int16(index + 1), int32(oid), int16(-1), int32(-1), int16(0)]),
  )
  return message('T', int16(names.length), ...columns)
}

export function dataRow(values: readonly (string | Buffer | null)[]): Buffer {
  const columns = values.map((value) => {
    if (value === null) return int32(-1)
    const bytes = Buffer.from(value as string)
    return Buffer.concat([int32(bytes.length), bytes])
  })
  return message('D', int16(values.length), ...columns)
}

/** ERROR with an SQLSTATE. */
export function errorResponse(code: string, text: string, severity = 'ERROR'): Buffer {
  return message('E', `S${severity}`, `V${severity}`, `C${code}`, `M${text}`, 0)
}

export const parseComplete: Buffer = message('1')
export const bindComplete: Buffer = message('2')
export const closeComplete: Buffer = message('3')
export const noData: Buffer = message('n')
export const portalSuspended: Buffer = message('s')
export const emptyQuery: Buffer = message('I')

export function commandComplete(tag: string): Buffer {
  return message('C', tag)
}

export function readyForQuery(status: 'I' | 'T' | 'E' = 'I'): Buffer {
  return message('Z', Buffer.from(status))
}
