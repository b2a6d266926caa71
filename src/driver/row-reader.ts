/**
 * Decodes rows straight from the socket's buffer. A reader is built once for each shape of a result (closures, no code
 * generation) and kept with its prepared statement.
 */
import type { FieldDescription, RowMode, TypeParser, TypeParsers } from './driver.js'

/** Decodes the DataRow whose body starts at `offset`. Throws what a type parser throws. */
export type RowReader = (buffer: Buffer, offset: number) => unknown

/** Reads the body of a RowDescription. */
export function readFields(buffer: Buffer, start: number): FieldDescription[] {
  const count = buffer.readUInt16BE(start)
  const fields = new Array<FieldDescription>(count)
  let offset = start + 2
  for (let index = 0; index < count; index++) {
    const nameEnd = buffer.indexOf(0, offset)
    const name = buffer.toString('utf8', offset, nameEnd)
    offset = nameEnd + 1
    fields[index] = {
      name,
      tableID: buffer.readUInt32BE(offset),
      columnID: buffer.readUInt16BE(offset + 4),
      dataTypeID: buffer.readUInt32BE(offset + 6),
    }
    // table 4, column 2, type 4, size 2, modifier 4, format 2
    offset += 18
  }
  return fields
}

export function createRowReader(
  fields: readonly FieldDescription[],
  mode: RowMode,
  types: TypeParsers,
): RowReader {
  const parsers = fields.map((field) => types.getTypeParser(field.dataTypeID, 'text'))
  return mode === 'array' ? arrayReader(fields, parsers) : objectReader(fields, parsers)
}

const INT2 = 21
const INT4 = 23

function arrayReader(fields: readonly FieldDescription[], parsers: readonly TypeParser[]): RowReader {
  const count = parsers.length
  // The digits make the number: no need of a text in between.
  const areIntegers = fields.map(
    ({ dataTypeID }, index) => parsers[index] === Number && (dataTypeID === INT2 || dataTypeID === INT4),
  )
  return (buffer, start) => {
    const row = new Array<unknown>(count)
    let offset = start + 2
    for (let index = 0; index < count; index++) {
      const length = readInt32(buffer, offset)
      offset += 4
      if (length < 0) {
        row[index] = null
        continue
      }
      const end = offset + length
      row[index] =
        areIntegers[index] === true
          ? readInteger(buffer, offset, end)
          : (parsers[index] as TypeParser)(readText(buffer, offset, end))
      offset = end
    }
    return row
  }
}

function objectReader(fields: readonly FieldDescription[], parsers: readonly TypeParser[]): RowReader {
  const count = parsers.length
  const names = fields.map((field) => field.name)
  const template: Record<string, unknown> = {}
  // defineProperty, because a column may be called __proto__.
  for (const name of names) {
    Object.defineProperty(template, name, {
      value: null,
      writable: true,
      enumerable: true,
      configurable: true,
    })
  }
  return (buffer, start) => {
    // A copy of one template gives all rows one hidden class.
    const row = { ...template }
    let offset = start + 2
    for (let index = 0; index < count; index++) {
      const length = readInt32(buffer, offset)
      offset += 4
      const name = names[index] as string
      if (length < 0) {
        // As in node-postgres, of two columns with one name the later one wins, also when it is null.
        row[name] = null
        continue
      }
      const end = offset + length
      row[name] = (parsers[index] as TypeParser)(readText(buffer, offset, end))
      offset = end
    }
    return row
  }
}

// Below this length a string made from char codes beats the call into the runtime.
const SHORT_TEXT_BYTES = 12
const ASCII = 0x7f

function readText(buffer: Buffer, start: number, end: number): string {
  if (end - start > SHORT_TEXT_BYTES) return buffer.toString('utf8', start, end)
  let text = ''
  let at = start
  // Four at a time, since each step makes a string.
  for (; at + 4 <= end; at += 4) {
    const one = buffer[at] as number
    const two = buffer[at + 1] as number
    const three = buffer[at + 2] as number
    const four = buffer[at + 3] as number
    if ((one | two | three | four) > ASCII) return buffer.toString('utf8', start, end)
    text += String.fromCharCode(one, two, three, four)
  }
  for (; at < end; at++) {
    const byte = buffer[at] as number
    if (byte > ASCII) return buffer.toString('utf8', start, end)
    text += String.fromCharCode(byte)
  }
  return text
}

const MINUS = 0x2d
const ZERO = 0x30

function readInteger(buffer: Buffer, start: number, end: number): number {
  const isNegative = buffer[start] === MINUS
  let digits = 0
  for (let at = isNegative ? start + 1 : start; at < end; at++) {
    digits = digits * 10 + (buffer[at] as number) - ZERO
  }
  return isNegative ? -digits : digits
}

function readInt32(buffer: Buffer, at: number): number {
  return (
    ((buffer[at] as number) << 24) |
    ((buffer[at + 1] as number) << 16) |
    ((buffer[at + 2] as number) << 8) |
    (buffer[at + 3] as number)
  )
}
