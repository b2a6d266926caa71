/** A cache of facts about the texts of statements, because a service sends the same few texts again and again. */

const MOST_TEXTS = 500
const LONGEST_TEXT = 4_000

/** The same function with a cache by text. Long texts are not cached; a full cache is emptied. */
export function rememberedByText<Value>(look: (text: string) => Value): (text: string) => Value {
  const known = new Map<string, Value>()
  return (text) => {
    const seen = known.get(text)
    if (seen !== undefined) return seen
    const value = look(text)
    if (text.length > LONGEST_TEXT) return value
    if (known.size >= MOST_TEXTS) known.clear()
    known.set(text, value)
    return value
  }
}
