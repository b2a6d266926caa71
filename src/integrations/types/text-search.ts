/** Brings texts of `tsvector` and `tsquery` into one form, so that texts with the same words are equal. */

/** Positions go to 16383, and a word has at most 256 of them. */
const LAST_POSITION = 16_383

/** Each word once, quoted, with its positions in order; undefined parts of the syntax: the text as it is. */
export function normalVector(text: string): string {
  const words = new Map<string, Map<number, string>>()
  let at = 0
  while (at < text.length) {
    if (/\s/.test(text[at] as string)) {
      at += 1
      continue
    }
    const word = readWord(text, at)
    if (word === undefined) return text
    const places = words.get(word.word) ?? new Map<number, string>()
    words.set(word.word, places)
    at = word.end
    if (text[at] !== ':') continue
    const match = /^:(\d+[a-dA-D]?(?:,\d+[a-dA-D]?)*)/.exec(text.slice(at))
    if (match === null) return text
    at += match[0].length
    for (const place of (match[1] as string).split(',')) {
      const position = Math.min(Number.parseInt(place, 10), LAST_POSITION)
      const weight = place.replace(/^\d+/, '').toUpperCase().replace('D', '')
      const known = places.get(position)
      if (known === undefined || heavier(weight, known)) places.set(position, weight)
    }
  }
  return [...words]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([word, places]) => {
      const listed = [...places].sort(([a], [b]) => a - b).map(([position, weight]) => `${position}${weight}`)
      return `${JSON.stringify(word)}:${listed.join()}`
    })
    .join(' ')
}

/** A is heavier than B, and no letter (D) the lightest. */
function heavier(weight: string, than: string): boolean {
  return weight !== '' && (than === '' || weight < than)
}

/** Every word quoted, one blank between two parts. */
export function normalQuery(text: string): string {
  const parts: string[] = []
  let at = 0
  while (at < text.length) {
    const operator = /^(?:\s+|[&|!()]|<(?:-|\d+)>|:[a-dA-D*]+)/.exec(text.slice(at))?.[0]
    if (operator !== undefined) {
      if (operator.trim() !== '') parts.push(operator === '<1>' ? '<->' : operator.toUpperCase())
      at += operator.length
      continue
    }
    const word = readWord(text, at)
    if (word === undefined) return text
    parts.push(JSON.stringify(word.word))
    at = word.end
  }
  return parts.join(' ')
}

/** The word that begins there: quoted, or up to a character that means something. */
function readWord(text: string, start: number): { readonly word: string; readonly end: number } | undefined {
  let word = ''
  let at = start
  const isQuoted = text[at] === "'"
  if (isQuoted) at += 1
  for (; at < text.length; at++) {
    const character = text[at] as string
    if (character === '\\') {
      at += 1
      word += text[at] ?? ''
    } else if (isQuoted && character === "'") {
      if (text[at + 1] !== "'") return { word, end: at + 1 }
      at += 1
      word += "'"
    } else if (!isQuoted && /[\s:&|!()'<>]/.test(character)) {
      break
    } else {
      word += character
    }
  }
  return isQuoted || word === '' ? undefined : { word, end: at }
}
