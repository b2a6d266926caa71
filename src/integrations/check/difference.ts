/** One difference between entities and a database, and the SQL that removes it. */
import { proposalText, type Proposal } from './proposal.js'

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
  /**
   * The statements that change the database to match the entities, for a migration; a comment if they would lose data. The `sql` of the
   * report has those of all differences in an order that works.
   */
  readonly sql: string | null
}

interface Entry {
  readonly difference: Omit<Difference, 'sql'>
  readonly proposals: readonly Proposal[]
}

/** Collects the differences, with what removes them. */
export class Differences {
  #all: Entry[] = []

  add(
    where: string,
    kind: Difference['kind'],
    breaks: Difference['breaks'],
    message: string,
    proposals: readonly Proposal[] = [],
  ): void {
    this.#all.push({ difference: { where, kind, breaks, message }, proposals })
  }

  /** Appends those of another collection. */
  addAll(others: Differences): void {
    this.#all.push(...others.#all)
  }

  /** Replaces proposals by others. */
  revise(edit: (proposal: Proposal) => Proposal): void {
    this.#all = this.#all.map(({ difference, proposals }) => ({ difference, proposals: proposals.map(edit) }))
  }

  /** By place, those that break most first. */
  get all(): readonly Difference[] {
    return this.#all
      .map(({ difference, proposals }) => ({
        ...difference,
        sql: proposals.length === 0 ? null : proposals.map(proposalText).join('\n'),
      }))
      .toSorted((a, b) =>
        a.where === b.where ? ORDER[a.breaks] - ORDER[b.breaks] : a.where < b.where ? -1 : 1,
      )
  }

  /** What removes them, by place. Types are in the order in which they were compared: each after those that it consists of. */
  get proposals(): readonly Proposal[] {
    const types = this.#all.flatMap(({ proposals }) => proposals.filter(({ step }) => step === 'type'))
    const others = this.#all
      .toSorted((a, b) =>
        a.difference.where < b.difference.where ? -1 : a.difference.where > b.difference.where ? 1 : 0,
      )
      .flatMap(({ proposals }) => proposals.filter(({ step }) => step !== 'type'))
    return [...types, ...others]
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
