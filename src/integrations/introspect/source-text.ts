/** Prints texts of a database as literals or comments of a program, so that they never become code. */

/**
 * Letters that compilers do not know all alike: those beyond the first 65,536, and those around which Unicode 16 and 17 added some. Node
 * may know a later Unicode than the compiler of what is written.
 */
export const UNCOMMON_LETTER: RegExp =
  /[\u{10000}-\u{10FFFF}\u0870-\u08FF\u0C5C\u0CDC\u1AB0-\u1AFF\u1C80-\u1C8F\uA7C0-\uA7FF]/u

/** A string in single quotes, or in those that need no backslash. */
export function quote(text: string): string {
  const json = withoutSeparators(JSON.stringify(text))
  if (text.includes("'") && !text.includes('"')) return json
  return `'${json.slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`
}

/** A name of a property: itself where it may stand without quotes. */
export function key(name: string): string {
  return isIdentifier(name) ? name : quote(name)
}

/** Whether a text may be the name of a property. */
export function isIdentifier(text: string): boolean {
  return /^[\p{ID_Start}_$][\p{ID_Continue}$]*$/u.test(text) && !UNCOMMON_LETTER.test(text)
}

/** SQL in the sql tag. */
export function sqlTag(text: string): string {
  const inner = text
    .replaceAll('\\', '\\\\')
    .replaceAll('`', '\\`')
    .replaceAll('${', '\\${')
    .replaceAll('\r', '\\r')
  return `sql\`${withoutSeparators(inner)}\``
}

/** A docstring, with the indentation of what follows; nothing for an empty text. */
export function docstring(text: string | null, indentation: string): string[] {
  const lines = (text ?? '')
    .replaceAll('*/', '*\\/')
    .replaceAll('\u2028', '\n')
    .replaceAll('\u2029', '\n')
    .split(/\r\n?|\n/)
    .map((line) => printable(line).trim())
  while (lines.at(-1) === '') lines.pop()
  while (lines[0] === '') lines.shift()
  if (lines.length === 0) return []
  if (lines.length === 1) return [`${indentation}/** ${lines[0]} */`]
  return [
    `${indentation}/**`,
    ...lines.map((line) => `${indentation} * ${line}`.trimEnd()),
    `${indentation} */`,
  ]
}

/** The text of a comment of one line. */
export function lineComment(text: string): string {
  return `// ${printable(text.replaceAll(/[\r\n\u2028\u2029]+/g, ' '))}`
}

function printable(text: string): string {
  // Other control characters would only confuse who reads the file.
  return text.replaceAll(/\p{Cc}/gu, ' ')
}

/** Line separators of Unicode end a line of JavaScript in older runtimes. */
function withoutSeparators(text: string): string {
  return text.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
}
