/**
 * Decodes rows straight from the socket's buffer. A reader is built once for each shape of a result (closures, no code
 * generation) and kept with its prepared statement.
 */
import type { FieldDescription, RawTypes, RowMode, TypeParser, TypeParsers } from './driver.js'
import { readInstant, readInt32, readInteger, readText } from './value-readers.js'

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
  types: TypeParsers | RawTypes,
): RowReader {
  const parsers = fields.map((field) => types.getTypeParser(field.dataTypeID, 'text'))
  if (mode === 'object') return objectReader(fields, parsers)
  return arrayReader(fields, parsers, 'instants' in types ? types.instants : NONE)
}

const NONE: ReadonlySet<number> = new Set()
const INT2 = 21
const INT4 = 23
const TIMESTAMPTZ = 1184

function arrayReader(
  fields: readonly FieldDescription[],
  parsers: readonly TypeParser[],
  instants: ReadonlySet<number>,
): RowReader {
  const count = parsers.length
  // The digits make the number: no need of a text in between.
  const areIntegers = fields.map(
    ({ dataTypeID }, index) =>
      parsers[index] === Number && !instants.has(index) && (dataTypeID === INT2 || dataTypeID === INT4),
  )
  const areInstants = fields.map(({ dataTypeID }, index) => dataTypeID === TIMESTAMPTZ && instants.has(index))
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
      const parser = parsers[index] as TypeParser
      if (areIntegers[index] === true) row[index] = readInteger(buffer, offset, end)
      else if (areInstants[index] === true) row[index] = instantOrText(buffer, offset, end, parser)
      else row[index] = parser(readText(buffer, offset, end))
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

function instantOrText(buffer: Buffer, start: number, end: number, parser: TypeParser): unknown {
  const time = readInstant(buffer, start, end)
  return Number.isNaN(time) ? parser(readText(buffer, start, end)) : new Date(time)
}
