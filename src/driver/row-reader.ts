/**
 * Decodes rows directly from the socket's buffer. A reader is built once for each shape of a result (closures, no code generation) and
 * kept as long as the server describes the same shape.
 *
 * Every row is checked against its shape: the number of its columns, the bounds of each, and its exact end. A row that fails the check
 * never becomes a value.
 */
import { DATA_ROW, ProtocolError, ROW_DESCRIPTION, malformed, textEnd } from './backend-messages.js'
import type { FieldDescription, RawTypes, RowMode, TypeParser, TypeParsers } from './driver.js'
import { readInstant, readInt32, readInteger, readText } from './value-readers.js'

/**
 * Decodes the DataRow whose body lies between `start` and `end`.
 *
 * Throws a ProtocolError if the row does not fit its shape, and what a type parser throws.
 */
export type RowReader = (buffer: Buffer, start: number, end: number) => unknown

/** The shape of the rows of one statement, as the server describes it. */
export class RowShape {
  readonly fields: readonly FieldDescription[]
  /** The body of the RowDescription, to recognize it. */
  readonly #description: Buffer
  #reader: RowReader | undefined
  #mode: RowMode | undefined
  #types: TypeParsers | undefined
  /** The parsers of the reader; undefined if it also depends on other things (`RawTypes`). */
  #parsers: readonly TypeParser[] | undefined

  /** @throws ProtocolError if the RowDescription whose body lies between `start` and `end` is malformed. */
  constructor(buffer: Buffer, start: number, end: number) {
    this.fields = readFields(buffer, start, end)
    this.#description = Buffer.from(buffer.subarray(start, end))
  }

  /** Whether the RowDescription describes the same shape. */
  isDescribedBy(buffer: Buffer, start: number, end: number): boolean {
    return this.#description.compare(buffer, start, end) === 0
  }

  /** Returns a reader for its rows. The last one is kept, because one statement is nearly always read in one way. */
  reader(mode: RowMode, types: TypeParsers | RawTypes): RowReader {
    const kept = this.#reader
    if (kept !== undefined && this.#mode === mode && this.#choosesSame(types)) return kept
    const parsers = parsersOf(this.fields, types)
    this.#parsers = 'instants' in types ? undefined : parsers
    this.#mode = mode
    this.#types = types
    return (this.#reader = readerOf(this.fields, mode, types, parsers))
  }

  /**
   * Whether `types` chooses the parsers of the reader. Comparing the objects is not enough: Drizzle makes a new one for each query,
   * with new functions for times that return their text, and `setTypeParser` changes one that was used before.
   */
  #choosesSame(types: TypeParsers | RawTypes): boolean {
    const { fields } = this
    const parsers = this.#parsers
    if (parsers === undefined || 'instants' in types) return types === this.#types
    for (let index = 0; index < parsers.length; index++) {
      const oid = (fields[index] as FieldDescription).dataTypeID
      if (!isSameParser(types.getTypeParser(oid, 'text'), parsers[index] as TypeParser)) return false
    }
    return true
  }
}

/** An arrow function that returns its one argument. */
const AS_IT_IS = /^\(?([\w$]+)\)?\s*=>\s*\1$/

/** Whether both parse alike: they are one function, or both return the text as it is. */
function isSameParser(one: TypeParser, other: TypeParser): boolean {
  if (one === other) return true
  const text = Function.prototype.toString.call(one)
  return AS_IT_IS.test(text) && text === Function.prototype.toString.call(other)
}

const COUNT_BYTES = 2
/** The bytes of a column after its name: table 4, column 2, type 4, size 2, modifier 4, format 2. */
const FIELD_BYTES = 18
const FORMAT_AT = 16
const TEXT = 0

/**
 * Reads the body of a RowDescription.
 * @param formats The formats that columns may have. In a script, rows of a binary cursor may come.
 * @throws ProtocolError
 */
export function readFields(
  buffer: Buffer,
  start: number,
  end: number,
  formats: 'text' | 'any' = 'text',
): FieldDescription[] {
  if (end - start < COUNT_BYTES) throw malformed(ROW_DESCRIPTION)
  const count = buffer.readUInt16BE(start)
  const fields: FieldDescription[] = []
  let offset = start + COUNT_BYTES
  for (let index = 0; index < count; index++) {
    const nameEnd = textEnd(buffer, offset, end)
    if (nameEnd === -1 || nameEnd + 1 + FIELD_BYTES > end) throw malformed(ROW_DESCRIPTION)
    const name = buffer.toString('utf8', offset, nameEnd)
    offset = nameEnd + 1
    if (formats === 'text' && buffer.readUInt16BE(offset + FORMAT_AT) !== TEXT) {
      throw new ProtocolError('The server sends values in binary form, which it was not asked for')
    }
    fields.push({
      name,
      tableID: buffer.readUInt32BE(offset),
      columnID: buffer.readUInt16BE(offset + 4),
      dataTypeID: buffer.readUInt32BE(offset + 6),
      dataTypeSize: buffer.readInt16BE(offset + 10),
      dataTypeModifier: buffer.readInt32BE(offset + 12),
    })
    offset += FIELD_BYTES
  }
  if (offset !== end) throw malformed(ROW_DESCRIPTION)
  return fields
}

function parsersOf(fields: readonly FieldDescription[], types: TypeParsers): TypeParser[] {
  return fields.map((field) => types.getTypeParser(field.dataTypeID, 'text'))
}

function readerOf(
  fields: readonly FieldDescription[],
  mode: RowMode,
  types: TypeParsers | RawTypes,
  parsers: readonly TypeParser[],
): RowReader {
  if (mode === 'object') return objectReader(fields, parsers)
  return arrayReader(fields, parsers, 'instants' in types ? types.instants : NONE)
}

const NONE: ReadonlySet<number> = new Set()
const INT2 = 21
const INT4 = 23
const TIMESTAMPTZ = 1184
/** How a value is read. */
const PARSED = 0
const INTEGER = 1
const INSTANT = 2
const LENGTH_BYTES = 4
const NULL = -1

function arrayReader(
  fields: readonly FieldDescription[],
  parsers: readonly TypeParser[],
  instants: ReadonlySet<number>,
): RowReader {
  const count = parsers.length
  const kinds = fields.map(({ dataTypeID }, index) => {
    if (instants.has(index)) return dataTypeID === TIMESTAMPTZ ? INSTANT : PARSED
    // The number is computed from the digits directly, without a string.
    return parsers[index] === Number && (dataTypeID === INT2 || dataTypeID === INT4) ? INTEGER : PARSED
  })
  return (buffer, start, rowEnd) => {
    checkCount(count, buffer, start, rowEnd)
    const row = new Array<unknown>(count)
    let offset = start + COUNT_BYTES
    for (let index = 0; index < count; index++) {
      const length = readInt32(buffer, offset)
      offset += LENGTH_BYTES
      if (length < 0) {
        if (length !== NULL) throw malformed(DATA_ROW)
        row[index] = null
        continue
      }
      const end = offset + length
      // Before the value is read: the bytes after the row are another message.
      if (end > rowEnd) throw malformed(DATA_ROW)
      const kind = kinds[index]
      if (kind === INTEGER) row[index] = readInteger(buffer, offset, end)
      else if (kind === PARSED) row[index] = (parsers[index] as TypeParser)(readText(buffer, offset, end))
      else row[index] = instantOrText(buffer, offset, end, parsers[index] as TypeParser)
      offset = end
    }
    if (offset !== rowEnd) throw malformed(DATA_ROW)
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
  return (buffer, start, rowEnd) => {
    checkCount(count, buffer, start, rowEnd)
    // A copy of one template gives all rows one hidden class.
    const row = { ...template }
    let offset = start + COUNT_BYTES
    for (let index = 0; index < count; index++) {
      const length = readInt32(buffer, offset)
      offset += LENGTH_BYTES
      const name = names[index] as string
      if (length < 0) {
        if (length !== NULL) throw malformed(DATA_ROW)
        // As in node-postgres, of two columns with one name the later one wins, also when it is null.
        row[name] = null
        continue
      }
      const end = offset + length
      if (end > rowEnd) throw malformed(DATA_ROW)
      row[name] = (parsers[index] as TypeParser)(readText(buffer, offset, end))
      offset = end
    }
    if (offset !== rowEnd) throw malformed(DATA_ROW)
    return row
  }
}

function checkCount(count: number, buffer: Buffer, start: number, end: number): void {
  if (end - start < COUNT_BYTES) throw malformed(DATA_ROW)
  const found = ((buffer[start] as number) << 8) | (buffer[start + 1] as number)
  if (found === count) return
  throw new ProtocolError(`The server sent a row of ${found} columns, where it had described ${count}`)
}

function instantOrText(buffer: Buffer, start: number, end: number, parser: TypeParser): unknown {
  const time = readInstant(buffer, start, end)
  return Number.isNaN(time) ? parser(readText(buffer, start, end)) : new Date(time)
}

/**
 * Checks the body of a DataRow whose values are not read.
 * @throws ProtocolError
 */
export function checkRow(count: number, buffer: Buffer, start: number, end: number): void {
  checkCount(count, buffer, start, end)
  let offset = start + COUNT_BYTES
  for (let index = 0; index < count && offset <= end; index++) {
    const length = readInt32(buffer, offset)
    if (length < NULL) throw malformed(DATA_ROW)
    offset += LENGTH_BYTES + Math.max(length, 0)
  }
  if (offset !== end) throw malformed(DATA_ROW)
}
