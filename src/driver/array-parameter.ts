/** An array as one parameter in PostgreSQL's binary form. It is encoded element by element when the batch is written. */
import { InvalidStatementError } from '../errors.js'
import { isObject } from '../internal/revoked.js'

/** How the elements of one type are written. */
export interface ArrayElement {
  /** The oid of the element's type. */
  readonly oid: number
  /** Whether `write` can encode this text; default: it can encode every text. */
  reads?(text: string): boolean
  /** An upper bound of the bytes that the element takes. */
  maxBytes(text: string): number
  /** @returns where the element ends. */
  write(text: string, target: Buffer, at: number): number
}

// As with errors: a program may have two copies of the package (of two dependencies, or by a bundler), and mix them.
const BRAND = Symbol.for('lifeguard.array')

/** Dimensions, "has NULLs", type, length of the dimension, its lower bound: four bytes each. */
const HEADER = 20
const LENGTH = 4
/** PostgreSQL refuses longer messages. */
const LARGEST = 0x3fff_ffff

/**
 * The server reads the binary form without parsing it. Until the batch is written, the parameter takes no memory of its own: it refers
 * to the texts of its elements.
 */
export class ArrayParameter {
  /** An upper bound of the bytes that it takes. */
  readonly maxBytes: number
  readonly #element: ArrayElement
  readonly #texts: readonly (string | null)[]
  readonly #literal: () => string

  /**
   * @param texts PostgreSQL's texts, all of the form that the element reads; never changed afterwards. null is NULL.
   * @param literal Returns the same array as PostgreSQL's text, for the echo.
   * @throws InvalidStatementError if it is longer than PostgreSQL's messages.
   */
  constructor(element: ArrayElement, texts: readonly (string | null)[], literal: () => string) {
    this.#element = element
    this.#texts = texts
    this.#literal = literal
    let maxBytes = HEADER + texts.length * LENGTH
    for (const text of texts) if (text !== null) maxBytes += element.maxBytes(text)
    if (maxBytes > LARGEST) requireSendable(texts)
    this.maxBytes = maxBytes
  }

  /** @returns where it ends. */
  write(target: Buffer, start: number): number {
    const element = this.#element
    let at = start + HEADER
    let hasNulls = 0
    for (const text of this.#texts) {
      if (text === null) {
        at = target.writeInt32BE(-1, at)
        hasNulls = 1
        continue
      }
      const end = element.write(text, target, at + LENGTH)
      target.writeInt32BE(end - at - LENGTH, at)
      at = end
    }
    let header = target.writeInt32BE(1, start)
    header = target.writeInt32BE(hasNulls, header)
    header = target.writeInt32BE(element.oid, header)
    header = target.writeInt32BE(this.#texts.length, header)
    target.writeInt32BE(1, header)
    return at
  }

  /** PostgreSQL's text of the array, for the echo. */
  toString(): string {
    return this.#literal()
  }

  static {
    Object.defineProperty(this.prototype, BRAND, { value: true })
  }
}

/** Whether a value is an array that writes itself, also one of another copy of the package. */
export function isArrayParameter(value: unknown): value is ArrayParameter {
  return isObject(value) && BRAND in value
}

/** @throws InvalidStatementError */
function requireSendable(texts: readonly (string | null)[]): void {
  let bytes = 0
  for (const text of texts) if (text !== null) bytes += Buffer.byteLength(text)
  if (bytes <= LARGEST) return
  throw new InvalidStatementError(
    `One column of ${texts.length} rows takes ${bytes} bytes, and a statement at most a gigabyte: flush fewer rows at a time`,
  )
}
