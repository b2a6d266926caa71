/** An array as one parameter that is written when it is sent, element by element, in PostgreSQL's binary form. */

/** How the elements of one type are written. */
export interface ArrayElement {
  /** Of the element's type. */
  readonly oid: number
  /** Whether an element has the form that `write` reads; default: all have. */
  reads?(text: string): boolean
  /** How many bytes an element takes at most. */
  most(text: string): number
  /** @returns where the element ends. */
  write(text: string, target: Buffer, at: number): number
}

/** Dimensions, "has NULLs", type, length of the dimension, its lower bound: four bytes each. */
const HEADER = 20
const LENGTH = 4

/**
 * The server reads it without parsing, and between statement and connection it is nothing but the texts of its elements, which
 * exist anyway.
 */
export class ArrayParameter {
  readonly #element: ArrayElement
  readonly #texts: readonly (string | null)[]
  readonly #literal: () => string

  /**
   * @param texts PostgreSQL's texts, all of the form that the element reads; never changed afterwards. null is NULL.
   * @param literal The same as text, for people.
   */
  constructor(element: ArrayElement, texts: readonly (string | null)[], literal: () => string) {
    this.#element = element
    this.#texts = texts
    this.#literal = literal
  }

  /** How many bytes it takes at most. */
  get most(): number {
    let bytes = HEADER + this.#texts.length * LENGTH
    for (const text of this.#texts) if (text !== null) bytes += this.#element.most(text)
    return bytes
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
}
