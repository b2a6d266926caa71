/** Runs programs on a session and on a model of whom a child belongs to now, and compares the two. */
import { expect } from 'vitest'
import { select, type AnyEntity, type Session, type SessionFactory } from '../../src/index.js'
import { stateOf } from '../../src/unit/instance-state.js'
import { FamiliesModel, nameOf, type Instance, type Thing } from './entities-families-model.js'
import { FamilyMoves, pick } from './entities-families-moves.js'
import { ENTITIES, isOfTenant, KINDS, type Kind } from './entities-families-schema.js'

export type StepKind =
  | 'grow'
  | 'give'
  | 'assign'
  | 'change'
  | 'delete'
  | 'keep'
  | 'load'
  | 'query'
  | 'expire'
  | 'flush'
  | 'commit'
  | 'rollback'

/** Numbers choose among what there is. */
export interface Step {
  readonly kind: StepKind
  readonly a: number
  readonly b: number
  readonly c: number
}

/** Looks at the rows from outside. */
export type Rows = (kind: Kind) => Promise<Record<string, unknown>[]>

export class FamiliesRun {
  readonly #session: Session
  readonly #rows: Rows
  readonly #model = new FamiliesModel()
  readonly #moves: FamilyMoves

  constructor(sessions: SessionFactory, rows: Rows) {
    this.#session = sessions()
    this.#rows = rows
    this.#moves = new FamilyMoves(this.#session, this.#model)
  }

  async program(steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.#step(step)
    await this.#commit()
  }

  close(): Promise<void> {
    return this.#session.close()
  }

  async #step({ kind, a, b, c }: Step): Promise<void> {
    switch (kind) {
      case 'grow':
        return this.#moves.grow(a, b, c)
      case 'give':
        return this.#moves.give(a, b, c)
      case 'change':
        return this.#moves.change(pick([...this.#model.world.keys()], a))
      case 'delete':
        return this.#moves.delete(a)
      case 'keep':
        return this.#moves.keep(pick(this.#model.stored(), a))
      case 'assign':
        return this.#moves.assign(a, b, c)
      case 'load':
        return this.#moves.load(pick(this.#model.stored(), a))
      case 'query':
        return this.#query(pick(KINDS, a) as Kind)
      case 'expire':
        return this.#expire(pick(this.#model.stored(), a))
      case 'flush':
        return this.#flush()
      case 'commit':
        return this.#commit()
      case 'rollback':
        return this.#rollback()
    }
  }

  // Loading -----------------------------------------------------------------------------------------------------------

  async #query(kind: Kind): Promise<void> {
    const found = (await this.#session.execute(select(ENTITIES[kind] as AnyEntity))).scalars()
    const expected = [...this.#model.flushed.keys()].filter((thing) => thing.kind === kind)
    expect(new Set(found)).toEqual(new Set(expected.map(({ instance }) => instance)))
  }

  /** Behind a flush, so that nothing is lost. */
  async #expire(thing: Thing | undefined): Promise<void> {
    await this.#flush()
    if (thing !== undefined && this.#model.world.has(thing)) this.#session.expire(thing.instance)
  }

  // Ends -------------------------------------------------------------------------------------------------------------

  async #flush(): Promise<void> {
    const came = this.#session.new as Instance[]
    await this.#session.flush()
    this.#model.settle()
    this.#compareOrder(came)
    this.#compare()
  }

  async #commit(): Promise<void> {
    const came = this.#session.new as Instance[]
    await this.#session.commit()
    this.#model.settle()
    this.#model.commit()
    this.#compareOrder(came)
    this.#compare()
    for (const thing of this.#model.gone)
      expect(stateOf(thing.instance).status, nameOf(thing)).toBe('detached')
    for (const kind of KINDS) {
      const expected = this.#model.things(kind).map((thing) => this.#model.row(thing))
      expect(sorted(await this.#rows(kind)), kind).toEqual(sorted(expected))
    }
  }

  async #rollback(): Promise<void> {
    await this.#session.rollback()
    for (const thing of this.#model.world.keys())
      if (!this.#model.committed.has(thing))
        expect(stateOf(thing.instance).status, nameOf(thing)).toBe('transient')
    this.#model.rollback()
    this.#compare()
  }

  /** Rows are inserted in the order in which their objects came. */
  #compareOrder(came: readonly Instance[]): void {
    for (const kind of KINDS.filter((one) => !isOfTenant(one))) {
      const ids = came.flatMap((instance) =>
        instance.constructor === ENTITIES[kind] && stateOf(instance).status === 'persistent'
          ? [stateOf(instance).snapshot?.[0] as number]
          : [],
      )
      expect(ids, `the order of add: ${kind}`).toEqual([...ids].sort((a, b) => a - b))
    }
  }

  #compare(): void {
    const { new: pending, dirty, deleted } = this.#session
    expect({ pending, dirty, deleted }).toEqual({ pending: [], dirty: [], deleted: [] })
    for (const thing of this.#model.world.keys()) {
      const { status, meta, instance } = stateOf(thing.instance)
      expect(status, nameOf(thing)).toBe('persistent')
      for (const [name, value] of Object.entries(this.#model.row(thing))) {
        if (meta.isExpired(instance, meta.table.column(name))) continue
        expect({ [name]: instance[name] }, nameOf(thing)).toEqual({ [name]: value })
      }
    }
    for (const thing of this.#model.gone)
      expect(['deleted', 'detached'], nameOf(thing)).toContain(stateOf(thing.instance).status)
  }
}

function sorted(rows: readonly Record<string, unknown>[]): Record<string, unknown>[] {
  const id = (row: Record<string, unknown>): string => `${String(row['tenantId'])} ${String(row['id'])}`
  return [...rows].sort((one, other) => (id(one) < id(other) ? -1 : 1))
}
