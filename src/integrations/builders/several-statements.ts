/** Detects texts of several statements, which only the simple query protocol accepts. */

/** One token after the other; strings, quoted names and bodies in dollars are one each. */
const TOKEN =
  /\s+|--[^\n]*|e'(?:\\.|''|[^'\\])*'|'(?:''|[^'])*'|"(?:""|[^"])*"|\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$|[\p{L}_][\p{L}\p{N}_$]*|\/\*|;|./isuy

/** True if something other than space, comments and semicolons stands behind a semicolon. */
export function holdsSeveral(text: string): boolean {
  if (!text.includes(';')) return false
  let behind = false
  for (let at = 0; at < text.length;) {
    TOKEN.lastIndex = at
    const token = TOKEN.exec(text)?.[0] ?? text.slice(at)
    at += token.length
    if (token === '/*') at = endOfComment(text, at)
    else if (token === ';') behind = true
    else if (token.trim() !== '' && !token.startsWith('--')) {
      if (behind) return true
      if (token.length > 1 && token.startsWith('$') && token.endsWith('$')) at = endOfBody(text, at, token)
    }
  }
  return false
}

/** Comments may hold comments. */
function endOfComment(text: string, start: number): number {
  let at = start
  for (let depth = 1; depth > 0 && at < text.length; at++) {
    const two = text.slice(at, at + 2)
    if (two !== '/*' && two !== '*/') continue
    depth += two === '/*' ? 1 : -1
    at++
  }
  return at
}

function endOfBody(text: string, start: number, tag: string): number {
  const end = text.indexOf(tag, start)
  return end === -1 ? text.length : end + tag.length
}
