/** `select(Entity)`: loads entities. Joins and reports belong to SQL or a query builder. */
import { InvalidStatementError, MappingError } from '../errors.js'
import { checkInteger, refuseUnknownKeys } from '../internal/validate.js'
import { compileStatement, sql, type SqlFragment, type Statement, type Condition } from '../sql.js'
import { refuseNamesakes } from '../schema/column-ref.js'
import { and, orderOf } from './conditions.js'
import { metaOf, type EntityMeta } from '../schema/entity-meta.js'
import {
  columnList,
  concat,
  entityQuery,
  text,
  type EntityQuery,
  type EntityStatement,
  type Reading,
  type ValueStatement,
} from './entity-statement.js'
import type { AnyEntity, ColumnName, ColumnsOf, DeferredName, InstanceOf } from '../schema/entity-types.js'
import { checkWithout, filtersOf, NO_FILTERS_OFF, type WithoutFilters } from '../schema/filters.js'
import { fragmentOf } from './placeholders.js'
import { Exists } from './exists.js'
import { relationPart, undeferredPath, type LoadOptions, type UndeferOptions } from './relation-part.js'
import { checkPath, requireText } from './relation-path.js'
import type { RelationLoad } from '../schema/relation-resolution.js'
import type { CollectionName, EntityAt, Loaded, LoadedPart, KnownPath } from '../schema/relations.js'
import type { TableColumn } from '../schema/table-column.js'
import { addForeignNames, OF_SELECT } from '../internal/foreign-names.js'

/** How to treat rows that another transaction has locked. Default: wait until they are unlocked. */
export interface LockOptions {
  /** True: skip them, for job queues. */
  readonly skipLocked?: boolean | undefined
  /** True: fail at once with a LockTimeoutError. */
  readonly noWait?: boolean | undefined
}

/** Some columns of an entity as a plain object. */
export type Picked<E extends AnyEntity, Name extends ColumnName<E>> = {
  [Property in Name]: ColumnsOf<E>[Property]['$value']
}

/**
 * Starts a SELECT of entities.
 * @throws MappingError if it is no entity.
 * @example
 * const found = await session.execute(
 *   select(Song).where(eq(Song.c.albumId, id), gt(Song.c.plays, 1000)).orderBy(desc(Song.c.plays)).limit(10),
 * )
 * for (const song of found) console.log(song.title)
 */
export function select<E extends AnyEntity>(entity: E): Select<E> {
  return new Select(metaOf(entity), {
    source: undefined,
    conditions: [],
    order: [],
    limit: undefined,
    offset: undefined,
    distinct: false,
    lock: '',
    columns: undefined,
    load: [],
    undeferred: [],
    overwrites: false,
    without: NO_FILTERS_OFF,
  })
}

interface SelectState {
  /** What to read from instead of the table: a WITH clause that makes a result of the table's name. */
  readonly source: { readonly clause: SqlFragment<unknown>; readonly prepare: boolean } | undefined
  readonly conditions: readonly Condition[]
  readonly order: readonly SqlFragment<unknown>[]
  readonly limit: number | undefined
  readonly offset: number | undefined
  readonly distinct: boolean
  readonly lock: string
  /** Undefined: entities. */
  readonly columns: readonly TableColumn[] | undefined
  readonly load: readonly RelationLoad[]
  /** Deferred columns that are loaded (`undefer`). */
  readonly undeferred: readonly string[]
  /** See `populateExisting`. */
  readonly overwrites: boolean
  readonly without: WithoutFilters
}

/** A SELECT. Immutable: every method returns a new statement. */
export class Select<E extends AnyEntity, Item = InstanceOf<E>, Scalar = Item> implements EntityStatement<
  Item,
  Scalar
> {
  declare readonly $item?: Item
  declare readonly $scalar?: Scalar
  readonly #meta: EntityMeta
  readonly #state: SelectState

  static {
    addForeignNames(this.prototype, OF_SELECT)
  }

  constructor(meta: EntityMeta, state: SelectState) {
    this.#meta = meta
    this.#state = state
  }

  #with<NewItem = Item, NewScalar = Scalar>(change: Partial<SelectState>): Select<E, NewItem, NewScalar> {
    return new Select<E, NewItem, NewScalar>(this.#meta, { ...this.#state, ...change })
  }

  /** Only rows that meet all conditions, of earlier calls too. @throws InvalidStatementError if one is no condition. */
  where(...conditions: readonly Condition[]): Select<E, Item, Scalar> {
    for (const condition of conditions) and(condition)
    refuseNamesakes(this.#meta.table, conditions)
    return this.#with({ conditions: [...this.#state.conditions, ...conditions] })
  }

  /** Columns, `asc(...)`, `desc(...)` or SQL; after those of earlier calls. @throws InvalidStatementError for anything else. */
  orderBy(...by: readonly SqlFragment<unknown>[]): Select<E, Item, Scalar> {
    return this.#with({ order: [...this.#state.order, ...by.map(orderOf)] })
  }

  /** Returns at most this many rows. @throws InvalidOptionError unless it is a whole number from 0. */
  limit(count: number): Select<E, Item, Scalar> {
    return this.#with({ limit: checkInteger<never>('limit', count, { min: 0 }) })
  }

  /** Skips this many rows. @throws InvalidOptionError unless it is a whole number from 0. */
  offset(count: number): Select<E, Item, Scalar> {
    return this.#with({ offset: checkInteger<never>('offset', count, { min: 0 }) })
  }

  /** Returns equal rows once. PostgreSQL refuses it if a column has the type `json`. */
  distinct(): Select<E, Item, Scalar> {
    return this.#with({ distinct: true })
  }

  /**
   * Locks the rows until the transaction ends.
   * @throws InvalidStatementError with both options, or after `from`.
   */
  forUpdate(options: LockOptions = {}): Select<E, Item, Scalar> {
    refuseUnknownKeys('forUpdate', options, ['skipLocked', 'noWait'])
    const { skipLocked = false, noWait = false } = options
    if (skipLocked && noWait)
      throw new InvalidStatementError('forUpdate takes skipLocked or noWait, not both')
    if (this.#state.source !== undefined) throw noLockOnSource()
    return this.#with({ lock: ` for update${skipLocked ? ' skip locked' : ''}${noWait ? ' nowait' : ''}` })
  }

  /**
   * Returns plain objects with these columns instead of entities.
   * @throws MappingError if there is no such column, or if the statement loads relations.
   * @example
   * const titles = await session.scalars(select(Song).columns('title'))
   */
  columns<const Names extends readonly ColumnName<E>[]>(
    ...names: Names
  ): Select<E, Picked<E, Names[number]>, ColumnsOf<E>[Names[0]]['$value']> {
    if (names.length === 0) throw new InvalidStatementError('columns was given no name')
    if (this.#state.load.length > 0) throw relationsNeedEntities()
    return this.#with({ columns: names.map((name) => this.#meta.table.column(name)) })
  }

  /**
   * Loads relations with the entities, each with one more statement. Paths may be longer: `'songs.album'`.
   * @throws MappingError if there is no such relation.
   * @example
   * const albums = await session.scalars(select(Album).load('songs'))
   */
  load<const Path extends string>(...paths: readonly KnownPath<E, Path>[]): Select<E, Item & Loaded<E, Path>>
  /**
   * Loads a relation with deferred columns of its objects.
   * @throws MappingError if there is no such relation, or no such deferred column; InvalidOptionError.
   * @example
   * const albums = await session.scalars(select(Album).load('songs', { undefer: ['body'] }))
   */
  load<const Path extends string>(
    path: KnownPath<E, Path>,
    options: UndeferOptions<DeferredName<EntityAt<E, Path>>>,
  ): Select<E, Item & Loaded<E, Path>>
  /**
   * Loads a part of a relation to many: objects that meet the conditions, in the given order, at most `limit` for each owner.
   * The property is a frozen array, which cannot change the relation; to change it, load the whole relation.
   * @throws MappingError if there is no such relation to many; InvalidOptionError; InvalidStatementError. When it runs:
   *   IllegalStateError if the relation of an object has unflushed changes.
   * @example
   * const albums = await session.scalars(select(Album).load('songs', { orderBy: desc(Song.c.plays), limit: 3 }))
   */
  load<const Name extends CollectionName<E>>(
    name: Name,
    options: LoadOptions<DeferredName<EntityAt<E, Name>>>,
  ): Select<E, Item & LoadedPart<E, Name>>
  load(...given: readonly unknown[]): Select<E, unknown> {
    if (this.#state.columns !== undefined) throw relationsNeedEntities()
    const [name, options] = given
    if (given.length === 2 && typeof options !== 'string') {
      requireText(this.#meta, name)
      const part =
        undeferredPath(this.#meta, name, options as LoadOptions) ??
        relationPart(this.#meta, name, options as LoadOptions)
      return this.#with({ load: [...this.#state.load, part] })
    }
    const paths = given as readonly string[]
    for (const path of paths) checkPath(this.#meta, path)
    return this.#with({ load: [...this.#state.load, ...paths] })
  }

  /**
   * Loads deferred columns with the entities. For related objects: `load('songs', { undefer: ['body'] })`.
   * @throws MappingError if there is no such column, or it is not deferred.
   * @example
   * const songs = await session.scalars(select(Song).where(eq(Song.c.albumId, id)).undefer('body'))
   */
  undefer(...names: readonly DeferredName<E>[]): Select<E, Item, Scalar> {
    const undeferred = [...this.#state.undeferred, ...names]
    this.#meta.table.deferredExcept(undeferred)
    return this.#with({ undeferred })
  }

  /**
   * Turns off filters of entities, for this query and for the relations that it loads.
   * @param names Default: all filters.
   * @throws MappingError for a name that no entity has.
   * @example
   * const everything = await session.scalars(select(Song).withoutFilters('live'))
   */
  withoutFilters(...names: readonly string[]): Select<E, Item, Scalar> {
    return this.#with({ without: checkWithout(this.#meta, names) })
  }

  /**
   * The rows replace the values and relations of objects that the session has already, unflushed changes included (with
   * `autoflush` these are flushed before the query). Without it an object keeps its values.
   * @example
   * const songs = await session.scalars(select(Song).where(eq(Song.c.albumId, id)).populateExisting())
   */
  populateExisting(): Select<E, Item, Scalar> {
    return this.#with({ overwrites: true })
  }

  /**
   * Reads the rows from another statement, raw or of a query builder. It must return every column of the entity by its name in
   * the database; other columns are ignored. It may also be an INSERT, UPDATE or DELETE with RETURNING.
   * @example
   * select(Song).from(sql`select * from songs tablesample system (1)`)
   */
  from(statement: Statement, values?: readonly unknown[]): Select<E, Item, Scalar> {
    if (this.#state.lock !== '') throw noLockOnSource()
    const compiled = compileStatement(statement, values)
    const body = fragmentOf(compiled.text.replace(/;\s*$/, ''), compiled.values)
    // A WITH query, as only these may contain INSERT. The line break ends a comment at the end of the statement.
    const clause = concat(text(`with ${this.#meta.table.qualifier} as (`), body, text('\n) '))
    return this.#with({ source: { clause, prepare: compiled.prepare } })
  }

  /** The number of rows instead of the rows. */
  count(): ValueStatement<number> {
    const { limit, offset, distinct } = this.#state
    // Made for each run: conditions of filters may change between runs.
    const statement = (): SqlFragment<unknown> =>
      limit === undefined && offset === undefined && !distinct
        ? concat(this.#clause(), text('select count(*)'), this.#fromWhere())
        : concat(
            this.#clause(),
            text('select count(*) from ('),
            this.#body(distinct ? this.#selected() : '1'),
            text(') as "rows"'),
          )
    return {
      givesOne: true,
      toEntityQuery: () => this.#query(statement(), { kind: 'scalar', decode: Number }),
    }
  }

  /**
   * Whether any row exists: to execute, or as a condition of another statement.
   * @example
   * select(Album).where(select(Song).where(eq(Song.c.albumId, Album.c.id)).exists())
   */
  exists(): Exists {
    return new Exists(this.#meta, () => concat(text('exists ('), this.#clause(), this.#body('1'), text(')')))
  }

  toEntityQuery(): EntityQuery {
    const { columns, order, lock } = this.#state
    const statement = concat(this.#clause(), this.#body(this.#selected(), order), text(lock))
    return this.#query(statement, columns === undefined ? { kind: 'entity' } : { kind: 'record', columns })
  }

  #query(statement: SqlFragment<unknown>, reading: Reading): EntityQuery {
    const { load, lock, source, overwrites, undeferred, without } = this.#state
    return entityQuery(this.#meta, statement, reading, {
      load,
      lacking: this.#meta.table.deferredExcept(undeferred),
      without,
      rowsAre: overwrites ? 'wanted' : lock === '' ? 'read' : 'fresh',
      prepare: source?.prepare ?? true,
    })
  }

  #clause(): SqlFragment<unknown> {
    return this.#state.source?.clause ?? text('')
  }

  #selected(): string {
    const { table } = this.#meta
    const { columns, undeferred } = this.#state
    if (columns !== undefined) return columnList(columns, table.qualifier)
    return table.selectList(table.deferredExcept(undeferred))
  }

  #body(selected: string, order: readonly SqlFragment<unknown>[] = []): SqlFragment<unknown> {
    const { distinct, limit, offset } = this.#state
    const parts = [text(`select ${distinct ? 'distinct ' : ''}${selected}`), this.#fromWhere()]
    if (order.length > 0) parts.push(sql` order by ${sql.join(order)}`)
    if (limit !== undefined) parts.push(sql` limit ${limit}`)
    if (offset !== undefined) parts.push(sql` offset ${offset}`)
    return concat(...parts)
  }

  #fromWhere(): SqlFragment<unknown> {
    const { table } = this.#meta
    const { source, conditions: given, without } = this.#state
    const conditions = [...given, ...filtersOf(this.#meta, without)]
    const from = text(` from ${source === undefined ? table.sql : table.qualifier}`)
    return conditions.length === 0 ? from : concat(from, text(' where '), and(...conditions))
  }
}

function noLockOnSource(): InvalidStatementError {
  return new InvalidStatementError('forUpdate cannot be combined with from: lock the rows in that statement')
}

function relationsNeedEntities(): MappingError {
  return new MappingError('Relations can be loaded with entities only, not with columns(...)')
}
