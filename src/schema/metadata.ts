/** All entities of one base: their tables, the dependencies between these, and the statements that create and drop them. */
import { InvalidOptionError, MappingError } from '../errors.js'
import { checkBoolean, refuseUnknownKeys } from '../internal/validate.js'
import type { DeclaredType, ReferenceRules } from './column.js'
import { createScript, dropScript, type DdlSource } from './ddl.js'
import { guardedCreateScript, guardedDropScript } from './guarded-ddl.js'
import { orderByDependency } from './dependency-order.js'
import { EntityMeta } from './entity-meta.js'
import type { TableFilters } from './filters.js'
import { ENTITY, type AnyEntity } from './entity-types.js'
import { resolveForeignKeys, type ForeignKey } from './foreign-key.js'
import type { TableRegistry } from './relation-resolution.js'
import type { Table } from './table.js'
import { isRevoked } from '../internal/revoked.js'

/** An object that runs scripts: a connection or a session. */
export interface ScriptRunner {
  executeScript(text: string): Promise<void>
}

/** Options of `createAll` and `dropAll`. */
export interface DdlOptions {
  /** Skip objects that exist already (create) or do not exist (drop). False: fail. Default true. */
  readonly checkFirst?: boolean | undefined
}

interface Resolved {
  readonly foreignKeys: ReadonlyMap<Table, readonly ForeignKey[]>
  readonly propagatingKeys: ReadonlyMap<Table, readonly ForeignKey[]>
  readonly deletingKeys: ReadonlyMap<Table, readonly ForeignKey[]>
  readonly groups: readonly (readonly Table[])[]
  readonly writeGroups: readonly (readonly Table[])[]
}

/**
 * The tables of one `declarativeBase()`. References between them are checked when they are first needed: by then every
 * module that declares an entity must have been imported.
 */
export class Metadata implements TableRegistry {
  readonly #tables: Table[] = []
  readonly #filterNames = new Set<string>()
  readonly #filters = new Map<Table, TableFilters>()
  readonly #entities = new WeakMap<AnyEntity, EntityMeta>()
  #resolved: Resolved | undefined
  /** Extensions that the tables need, by name. */
  readonly extensions: readonly string[]
  /** Sequences that no column owns. */
  readonly sequences: readonly DeclaredType[]

  /** @param extensions Created before the tables, as the sequences are. */
  constructor(extensions: readonly string[], sequences: readonly DeclaredType[]) {
    this.extensions = extensions
    this.sequences = sequences
  }

  /** The tables in the order of declaration. */
  get tables(): readonly Table[] {
    return this.#tables
  }

  /** The names of the filters of all entities. */
  get filterNames(): ReadonlySet<string> {
    return this.#filterNames
  }

  /**
   * Adds a table; called by `Base.entity`.
   * @param filters Those of its entity.
   * @throws MappingError if its name is taken.
   */
  add(table: Table, filters: TableFilters): void {
    if (this.#tables.some(({ key }) => key === table.key)) {
      throw new MappingError(
        `Two entities of this base are called ${table.key}. If its module was evaluated twice (a hot reload): declare the base and its entities in one module`,
      )
    }
    this.#tables.push(table)
    this.#filters.set(table, filters)
    for (const name of Object.keys(filters.filters)) this.#filterNames.add(name)
    this.#resolved = undefined
  }

  /** The filters of a table. */
  filters(table: Table): TableFilters | undefined {
    return this.#filters.get(table)
  }

  /** The foreign keys of a table. @throws MappingError if one refers to what does not exist. */
  foreignKeys(table: Table): readonly ForeignKey[] {
    return this.#resolve().foreignKeys.get(table) ?? []
  }

  /** The foreign keys on a table that PostgreSQL changes with the referenced key (`onUpdate: 'cascade'` and `'set null'`). */
  propagatingKeys(table: Table): readonly ForeignKey[] {
    return this.#resolve().propagatingKeys.get(table) ?? []
  }

  /** The foreign keys on a table whose rows PostgreSQL deletes or changes with the referenced row (`onDelete`). */
  deletingKeys(table: Table): readonly ForeignKey[] {
    return this.#resolve().deletingKeys.get(table) ?? []
  }

  /**
   * The tables, those that are referred to first. Tables that refer to each other in a cycle form one group; every other
   * group is one table.
   */
  get tableGroups(): readonly (readonly Table[])[] {
    return this.#resolve().groups
  }

  /**
   * As {@link tableGroups}, in an order that does not depend on that of declaration: two processes that import their modules in
   * different orders write tables in the same order.
   */
  get writeGroups(): readonly (readonly Table[])[] {
    return this.#resolve().writeGroups
  }

  /** What is known of an entity class at run time. */
  entity(entity: AnyEntity): EntityMeta {
    let meta = this.#entities.get(entity)
    if (meta === undefined) {
      meta = new EntityMeta(entity, entity[ENTITY].table, this)
      this.#entities.set(entity, meta)
    }
    return meta
  }

  /**
   * Creates missing schemas, types and tables (not views), with their indexes and foreign keys, atomically and in one round
   * trip. Existing objects are not changed, even if they differ from the declaration: for changes use a migration tool. Several
   * processes may run it concurrently.
   *
   * @throws MappingError for wrong references; DatabaseError.
   * @example
   * await engine.begin((connection) => Base.metadata.createAll(connection))
   */
  async createAll(connection: ScriptRunner, options: DdlOptions = {}): Promise<void> {
    const { checkFirst = true } = checked('createAll', connection, options)
    await connection.executeScript(
      checkFirst ? guardedCreateScript(this.#created) : createScript(this.#created),
    )
  }

  /**
   * Drops the tables and types, atomically and in one round trip; schemas and extensions stay. Fails if an object outside of
   * this metadata depends on them.
   *
   * @throws DatabaseError
   */
  async dropAll(connection: ScriptRunner, options: DdlOptions = {}): Promise<void> {
    const { checkFirst = true } = checked('dropAll', connection, options)
    await connection.executeScript(checkFirst ? guardedDropScript(this.#created) : dropScript(this.#created))
  }

  /** The statements of `createAll` as text, for example for a first migration. */
  ddl(): string {
    return createScript(this.#created)
  }

  /** What is created and dropped: tables, not views. @throws MappingError for a foreign key on a view. */
  get #created(): DdlSource {
    const isTable = ({ isView }: Table): boolean => !isView
    for (const table of this.#tables.filter(isTable)) {
      const key = this.foreignKeys(table).find(({ target }) => target.isView)
      if (key === undefined) continue
      throw new MappingError(
        `${table.key} has a foreign key on the view ${key.target.key}, which PostgreSQL does not know: leave references() out. ` +
          'Relations to the primary key of the view need none',
      )
    }
    return {
      extensions: this.extensions,
      sequences: this.sequences,
      tables: this.#tables.filter(isTable),
      tableGroups: this.tableGroups.map((group) => group.filter(isTable)),
      foreignKeys: (table) => this.foreignKeys(table),
    }
  }

  #resolve(): Resolved {
    if (this.#resolved === undefined) {
      const foreignKeys = new Map(
        this.#tables.map((table) => [table, resolveForeignKeys(table, this.#tables)]),
      )
      const targetsOf = (table: Table): Table[] => (foreignKeys.get(table) ?? []).map(({ target }) => target)
      const groups = orderByDependency(this.#tables, targetsOf)
      const writeGroups = orderByDependency(this.#tables.toSorted(byKey), (table) =>
        targetsOf(table).sort(byKey),
      ).map((group) => group.sort(byKey))
      const keysTo = (isMeant: (rules: ReferenceRules) => boolean): Map<Table, readonly ForeignKey[]> => {
        const meant = [...foreignKeys.values()].flat().filter(({ rules }) => isMeant(rules))
        return new Map(this.#tables.map((table) => [table, meant.filter(({ target }) => target === table)]))
      }
      const propagatingKeys = keysTo(({ onUpdate }) => onUpdate === 'cascade' || onUpdate === 'set null')
      const deletingKeys = keysTo(
        ({ onDelete = 'no action' }) => onDelete !== 'no action' && onDelete !== 'restrict',
      )
      this.#resolved = { foreignKeys, propagatingKeys, deletingKeys, groups, writeGroups }
    }
    return this.#resolved
  }
}

function byKey({ key: a }: Table, { key: b }: Table): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** @throws InvalidOptionError */
function checked(method: 'createAll' | 'dropAll', connection: unknown, options: DdlOptions): DdlOptions {
  if (
    isRevoked(connection) ||
    typeof (connection as Partial<ScriptRunner> | null | undefined)?.executeScript !== 'function'
  ) {
    const example = `engine.begin((connection) => Base.metadata.${method}(connection))`
    throw new InvalidOptionError('connection', `${method} takes a connection or a session: ${example}`)
  }
  refuseUnknownKeys(method, options, ['checkFirst'])
  if (options.checkFirst !== undefined) checkBoolean('checkFirst', options.checkFirst)
  return options
}
