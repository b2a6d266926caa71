/** One difference between entities and a database, and the SQL that removes it. */

/** One difference. */
export interface Difference {
  /** Schema and name of the table or type. */
  readonly where: string
  /** `missing`: not in the database; `different`: different in the database; `extra`: only in the database. */
  readonly kind: 'missing' | 'different' | 'extra'
  /**
   * What does not work because of it. `reading`: rows of the entity cannot be read, or their values do not have its types;
   * `writing`: some rows cannot be written; `nothing`: both work.
   */
  readonly breaks: 'reading' | 'writing' | 'nothing'
  /** `column email: the database has text, the entity varchar(80)` */
  readonly message: string
  /** The statement that changes the database to match the entities, for a migration; a comment if it would lose data. */
  readonly sql: string | null
}

/** Collects the differences of one thing. */
export class Differences {
  readonly #all: Difference[] = []

  add(
    where: string,
    kind: Difference['kind'],
    breaks: Difference['breaks'],
    message: string,
    sql: string | null = null,
  ): void {
    this.#all.push({ where, kind, breaks, message, sql })
  }

  /** By place, those that break most first. */
  get all(): readonly Difference[] {
    return this.#all.toSorted((a, b) =>
      a.where === b.where ? ORDER[a.breaks] - ORDER[b.breaks] : a.where < b.where ? -1 : 1,
    )
  }
}

const ORDER = { reading: 0, writing: 1, nothing: 2 }

/** A name in SQL. */
export function ident(...parts: readonly string[]): string {
  return parts.map((part) => `"${part.replaceAll('"', '""')}"`).join('.')
}

/** A string in SQL. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
