/** The findings of an introspection: what it left out, renamed or changed. */

/** One finding. */
export interface Finding {
  /** `renamed`: a name could not be kept; `left out`: something of the database is not in the entities; `hint`: what to do or to know. */
  readonly kind: 'renamed' | 'left out' | 'hint'
  /** Schema and table, and column where it is about one. */
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
