/**
 * Arrays with elements that `decode` of a custom type reads as null although PostgreSQL stores a text. Such an element looks like NULL
 * in JavaScript, so its text is found again when another element of the array changes.
 */

/** The most comparisons of two arrays. Beyond, elements are matched only by their order. */
const MOST_COMPARED = 1_000_000

/**
 * The texts of a changed array: each null that stands for a stored text is that text again. Both lists are compared as a whole (the
 * longest common subsequence), so that elements can be inserted and removed around it. Nulls without a match stand for what is left
 * of the stored elements that are read as null, in order; then for NULL.
 *
 * @param texts The elements as they would be written, nested arrays one after the other.
 * @param stored The stored elements, in the same form.
 * @param rewritten A stored text as it would be written again; null if it is read as null.
 */
export function withKeptNulls(
  texts: readonly (string | null)[],
  stored: readonly (string | null)[],
  rewritten: (text: string) => string | null,
): readonly (string | null)[] {
  if (!texts.includes(null)) return texts
  const read = stored.map((text) => (text === null ? null : rewritten(text)))
  if (read.every((text, index) => text !== null || stored[index] === null)) return texts
  const kept = [...texts]
  const [open, left] = [new Set<number>(), new Set(read.keys())]
  for (const [index, match] of matches(texts, read).entries()) {
    if (match !== undefined) left.delete(match)
    if (texts[index] !== null) continue
    if (match === undefined) open.add(index)
    else kept[index] = stored[match] ?? null
  }
  const others = [...left].filter((index) => read[index] === null)
  for (const [at, index] of [...open].entries()) {
    const match = others[at]
    if (match !== undefined) kept[index] = stored[match] ?? null
  }
  return kept
}

/**
 * For each element of one list, the index of its match in the other list. Matched are the equal elements at both ends, and between
 * them those that stand in the same order in both lists.
 */
function matches<Item>(list: readonly Item[], other: readonly Item[]): (number | undefined)[] {
  const found = new Array<number | undefined>(list.length).fill(undefined)
  let start = 0
  while (start < Math.min(list.length, other.length) && list[start] === other[start]) found[start] = start++
  let [end, otherEnd] = [list.length, other.length]
  while (end > start && otherEnd > start && list[end - 1] === other[otherEnd - 1]) found[--end] = --otherEnd
  const [rows, columns] = [end - start, otherEnd - start]
  if (rows * columns > MOST_COMPARED || rows * columns === 0) return found
  // lengths[i][j]: how much the lists have in common from i and j on.
  const width = columns + 1
  const lengths = new Uint32Array((rows + 1) * width)
  const lengthAt = (row: number, column: number): number => lengths[row * width + column] as number
  for (let row = rows - 1; row >= 0; row--) {
    for (let column = columns - 1; column >= 0; column--) {
      lengths[row * width + column] =
        list[start + row] === other[start + column]
          ? lengthAt(row + 1, column + 1) + 1
          : Math.max(lengthAt(row + 1, column), lengthAt(row, column + 1))
    }
  }
  for (let row = 0, column = 0; row < rows && column < columns;) {
    if (list[start + row] === other[start + column]) found[start + row++] = start + column++
    else if (lengthAt(row + 1, column) >= lengthAt(row, column + 1)) row++
    else column++
  }
  return found
}
