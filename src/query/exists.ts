/** `select(...).exists()`: a subquery that is a condition of another statement, and a statement of its own. */
import { sql, SqlFragment } from '../sql.js'
import type { EntityMeta } from '../schema/entity-meta.js'
import { entityQuery, type EntityQuery, type ValueStatement } from './entity-statement.js'

/** `exists (select ...)`: a condition, and a statement that returns true or false. */
export class Exists extends SqlFragment<unknown> implements ValueStatement<boolean> {
  readonly givesOne: true = true
  declare readonly $item?: boolean
  declare readonly $scalar?: boolean
  readonly #meta: EntityMeta
  readonly #make: () => SqlFragment<unknown>

  /** @param make Called for each statement that it becomes part of: conditions of filters may change between runs. */
  constructor(meta: EntityMeta, make: () => SqlFragment<unknown>) {
    super([''], [])
    this.#meta = meta
    this.#make = make
  }

  override get dependsOnTime(): boolean {
    return true
  }

  protected override get current(): SqlFragment<unknown> {
    return this.#make()
  }

  toEntityQuery(): EntityQuery {
    return entityQuery(this.#meta, sql`select ${this}`, { kind: 'scalar', decode: (text) => text === 't' })
  }
}
