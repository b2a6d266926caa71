/** The imports of a generated file. */
import { quote } from './source-text.js'

const PACKAGE = 'lifeguard'

/** Names of this package that are imported, by subpath. */
export class Imports {
  readonly #names = new Map<string, Set<string>>()

  add(from: string, name: string): string {
    const names = this.#names.get(from) ?? new Set()
    this.#names.set(from, names.add(name))
    return name
  }

  /** All of `other` are imported here, too. */
  addAll(other: Imports): void {
    for (const [from, names] of other.#names) for (const name of names) this.add(from, name)
  }

  /** @param fileOf Where a name is found that is none of this package; null: in the same file. */
  lines(fileOf: (from: string) => string | null): string[] {
    const byFile = new Map<string, Set<string>>()
    for (const [from, names] of this.#names) {
      const file = from.startsWith(PACKAGE) ? from : fileOf(from)
      if (file === null) continue
      byFile.set(file, new Set([...(byFile.get(file) ?? []), ...names]))
    }
    return [...byFile]
      .sort(([a], [b]) => Number(a.startsWith('.')) - Number(b.startsWith('.')) || (a < b ? -1 : 1))
      .map(([file, names]) => importLine([...names].sort(), file))
  }
}

function importLine(names: readonly string[], file: string): string {
  const line = `import { ${names.join(', ')} } from ${quote(file)}`
  return line.length <= 110
    ? line
    : `import {\n${names.map((name) => `  ${name},\n`).join('')}} from ${quote(file)}`
}
