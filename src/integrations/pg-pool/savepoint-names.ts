/** The savepoints of a transaction by their names, as its statements write them. */
import { firstWord } from './statement-text.js'

const SAVEPOINT = /^\s*savepoint\s+(.+?)\s*;?\s*$/is
const RELEASE = /^\s*release\s+(?:savepoint\s+)?(.+?)\s*;?\s*$/is
const ROLLBACK_TO =
  /^\s*(?:rollback|abort)\s+(?:(?:work|transaction)\s+)?to\s+(?:savepoint\s+)?(.+?)\s*;?\s*$/is

/** The name as PostgreSQL knows it; undefined if the statement is another one. */
export const savepointIn = (text: string): string | undefined => nameIn(SAVEPOINT, text)
export const releasedIn = (text: string): string | undefined => nameIn(RELEASE, text)
export const rolledBackToIn = (text: string): string | undefined => nameIn(ROLLBACK_TO, text)

function nameIn(form: RegExp, text: string): string | undefined {
  const name = form.exec(withoutComments(text))?.[1]
  return name?.startsWith('"') === true ? name.slice(1, -1).replaceAll('""', '"') : name?.toLowerCase()
}

/** The text with a space for each comment. */
export function withoutComments(text: string): string {
  if (!text.includes('/*') && !text.includes('--')) return text
  return text.replace(NAME_OR_COMMENT, (part) => (part.startsWith('"') ? part : ' '))
}

const NAME_OR_COMMENT = /"(?:[^"]|"")*"|\/\*.*?\*\/|--[^\n]*/gs

/**
 * Finds nested transactions that run side by side: libraries name a savepoint by its depth, so both have the same name, and a
 * ROLLBACK TO of one undoes the work of the other. PostgreSQL accepts that, and so do the statements here.
 *
 * A savepoint that was released or rolled back to is over: its name may come again.
 */
export class SavepointNames {
  #open: string[] = []
  #isReported = false

  /** @returns the name that this statement uses again; once for each transaction. */
  note(text: string): string | undefined {
    switch (firstWord(text)) {
      case 'savepoint':
        return this.#opened(savepointIn(text) ?? '')
      case 'release':
        this.#over(releasedIn(text) ?? '')
        return undefined
      case 'rollback':
      case 'abort': {
        const name = rolledBackToIn(text)
        if (name === undefined) this.#clear()
        else this.#over(name)
        return undefined
      }
      case 'begin':
      case 'start':
      case 'commit':
      case 'end':
        this.#clear()
    }
    return undefined
  }

  #opened(name: string): string | undefined {
    const isReused = this.#open.includes(name) && !this.#isReported
    this.#open.push(name)
    if (!isReused) return undefined
    this.#isReported = true
    return name
  }

  /** Ends the savepoints inside of it as well. */
  #over(name: string): void {
    const at = this.#open.lastIndexOf(name)
    if (at !== -1) this.#open.length = at
  }

  #clear(): void {
    this.#open.length = 0
    this.#isReported = false
  }
}
