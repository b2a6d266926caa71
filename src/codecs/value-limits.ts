/**
 * Rejects values that a type of PostgreSQL cannot store (too long, out of range, not a label of the enum) before a batch is sent.
 */

/** Why a value is not stored, without showing it; undefined if it is. Must be cheap: it is asked for each value of each row. */
export type Refusal = (value: never) => string | undefined

/** Whole numbers of 2, 4 or 8 bytes. */
export function outOfRange(type: string, bytes: 2 | 4 | 8): (value: number | bigint) => string | undefined {
  const max = 2n ** BigInt(8 * bytes - 1) - 1n
  const [low, high] = bytes === 8 ? [-max - 1n, max] : [Number(-max - 1n), Number(max)]
  return (value) =>
    value >= low && value <= high ? undefined : `is out of range: ${type} goes from ${low} to ${high}`
}

/** Text with a limit. As in PostgreSQL blanks at the end do not count: those beyond the limit are cut off. */
export function tooLong(limit: number): (value: string) => string | undefined {
  return (value) => {
    // No text has more characters than units of UTF-16.
    if (value.length <= limit) return undefined
    const { length } = [...value.replace(/ +$/, '')]
    return length <= limit ? undefined : `takes at most ${limit} characters, not ${length}`
  }
}

/** Refuses a value that is not one of the labels of an enum type. */
export function noneOf(values: readonly string[]): (value: string) => string | undefined {
  const known = new Set(values)
  return (value) =>
    known.has(value) ? undefined : `takes one of ${listOf(values)}, and was given none of them`
}

/** The elements of an array; PostgreSQL stores NULL among them. */
export function refusalOfElement(refusal: Refusal): (value: readonly unknown[]) => string | undefined {
  return (value) => {
    for (const element of value) {
      const reason = Array.isArray(element)
        ? refusalOfElement(refusal)(element)
        : element === null
          ? undefined
          : refusal(element as never)
      if (reason !== undefined) return reason
    }
    return undefined
  }
}

function listOf(values: readonly string[]): string {
  const shown = values.slice(0, MOST_SHOWN).map((value) => `'${value}'`)
  return `${shown.join(', ')}${values.length > MOST_SHOWN ? ', ...' : ''}`
}

const MOST_SHOWN = 10
