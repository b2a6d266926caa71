/** An array as one parameter in PostgreSQL's binary form. It is encoded element by element when the batch is written. */
import { InvalidStatementError } from '../errors.js'
import { isObject } from '../internal/revoked.js'

/** How the elements of one type are written. */
export interface ArrayElement {
  /** Of the element's type. */
  readonly oid: number
  /** Whether an element is what `write` reads; default: all are. */
  reads?(text: string): boolean
  /** How many bytes an element takes at most. */
  most(text: string): number
  /** @returns where the element ends. */
  write(text: string, target: Buffer, at: number): number
}

// As with errors: a program may have two copies of the package (import and require, a bundler), and mix them.
const BRAND = Symbol.for('lifeguard.array')

/** Dimensions, "has NULLs", type, length of the dimension, its lower bound: four bytes each. */
const HEADER = 20
const LENGTH = 4
/** PostgreSQL takes no longer messages. */
const LARGEST = 0x3fff_ffff

/**
 * The server reads it without parsing, and between statement and connection it is nothing but the texts of its elements, which
 * exist anyway.
 */
export class ArrayParameter {
  /** How many bytes it takes at most. */
  readonly most: number
  readonly #element: ArrayElement
  readonly #texts: readonly (string | null)[]
  readonly #literal: () => string

  /**
   * @param texts PostgreSQL's texts, all of the form that the element reads; never changed afterwards. null is NULL.
   * @param literal The same as text, for people.
   * @throws InvalidStatementError if it is longer than PostgreSQL's messages.
   */
  constructor(element: ArrayElement, texts: readonly (string | null)[], literal: () => string) {
    this.#element = element
    this.#texts = texts
    this.#literal = literal
    let most = HEADER + texts.length * LENGTH
    for (const text of texts) if (text !== null) most += element.most(text)
    if (most > LARGEST) requireSendable(texts)
    this.most = most
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

  /** As text: for the echo. */
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
