/** Generated files are compared without their layout: a formatter may have run over them. */
import { partsOf } from './marked-places.js'

/** Captures what counts: a comment, a string, a template, a word, a sign. Blanks, semicolons and the commas at the end of a list are layout. */
const TOKEN =
  /\s+|;|,(?=\s*[)\]}])|(\/\/.*|\/\*[^]*?\*\/|(['"])(?:\\[^]|(?!\2)[^\\])*\2|`(?:\\[^]|[^\\`])*`|[\p{ID_Continue}$]+|[^])/gu

/** A formatter chooses the quotes of a string, and so which of them need a backslash. */
const ESCAPE = /\\(['"])|\\[^]/g
const unescaped = (escape: string, mark?: string): string => mark ?? escape

/** The tokens of what was generated, and the lines of people: the same for files that differ only in layout. */
export function contentOf(source: string): string {
  const { custom, generated } = partsOf(source)
  const tokens: string[] = []
  for (const [, token, quote] of generated.join('\n').matchAll(TOKEN)) {
    if (token === undefined) continue
    // The name of a property may have quotes, or not.
    if (token === ':') tokens.push((tokens.pop() ?? '').replace(/^'/, ''))
    if (quote !== undefined) tokens.push(`'${token.slice(1, -1).replaceAll(ESCAPE, unescaped)}`)
    else tokens.push(/^\/[/*]/.test(token) ? token.replaceAll(/^\s+|\s+$/gm, '') : token)
  }
  return JSON.stringify([tokens, [...custom]])
}
