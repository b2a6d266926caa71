/** Finds the known name that is nearest to a misspelt one. */

/** Fewer letters begin too many names. */
const SHORTEST_BEGINNING = 4

/** The candidate that the name is the beginning of, or differs from by the fewest edits; undefined if none is near. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  const begun = candidates.find((candidate) => candidate.toLowerCase().startsWith(name.toLowerCase()))
  if (begun !== undefined && name.length >= SHORTEST_BEGINNING) return begun
  let nearest: string | undefined
  // A third of the name may be wrong; more would be guessing.
  let fewest = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of candidates) {
    const edits = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (edits < fewest) [nearest, fewest] = [candidate, edits]
  }
  return nearest
}

/** The end of a message about a name that does not exist: empty, or what was probably meant. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const nearest = nearestName(name, [...candidates])
  return nearest === undefined ? '' : `; did you mean '${nearest}'?`
}

/** Levenshtein's distance: insertions, deletions and replacements of one character. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= to.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1)
      next[j] = Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1)
    }
    row = next
  }
  return row[to.length] ?? 0
}
