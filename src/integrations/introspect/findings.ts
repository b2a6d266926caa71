/** The findings of an introspection: what it left out, renamed or changed. */

/** One finding. */
export interface Finding {
  /** `renamed`: a name could not be kept; `left out`: something in the database is not in the entities; `hint`: advice. */
  readonly kind: 'renamed' | 'left out' | 'hint'
  /** Schema and table, and the column if the finding is about one. */
  readonly where: string
  readonly message: string
}

/** Collects findings. */
export class Findings {
  readonly #all: Finding[] = []

  add(kind: Finding['kind'], where: string, message: string): void {
    this.#all.push({ kind, where, message })
  }

  get all(): readonly Finding[] {
    return this.#all
  }
}
