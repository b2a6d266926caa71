/** SQL text with numbered placeholders as a fragment, so that it can become part of a larger statement. */
import { InvalidStatementError } from '../errors.js'
import { SqlFragment } from '../sql.js'

// First the tokens in which `$1` is no placeholder (strings, identifiers, dollar quotes, comments), then the placeholder.
const TOKENS =
  /[eE]'(?:[^'\\]|\\[\s\S]|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|[\p{L}_][\p{L}\w$]*|\$((?:[\p{L}_][\p{L}\w]*)?)\$[\s\S]*?\$\1\$|--[^\n]*|\/\*[\s\S]*?\*\/|\$(\d+)/gu

/**
 * Makes a fragment of a text with placeholders (`$1`) and its values, so that it can become a part of another statement.
 * @throws InvalidStatementError if a placeholder has no value.
 */
export function fragmentOf(text: string, values: readonly unknown[]): SqlFragment<unknown> {
  const strings: string[] = []
  const parameters: unknown[] = []
  let start = 0
  for (const match of text.matchAll(TOKENS)) {
    const number = match[2]
    if (number === undefined) continue
    const position = Number(number)
    if (position < 1 || position > values.length) {
      throw new InvalidStatementError(
        `The statement has a placeholder $${position} and ${values.length} values`,
      )
    }
    strings.push(text.slice(start, match.index))
    parameters.push(values[position - 1])
    start = match.index + match[0].length
  }
  return new SqlFragment([...strings, text.slice(start)], parameters)
}
