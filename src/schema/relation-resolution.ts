/** Resolves the relations of a class: which columns of which tables must be equal. */
import { MappingError } from '../errors.js'
import { didYouMean } from '../internal/nearest-name.js'
import type { SqlFragment } from '../sql.js'
import { ENTITY, type AnyEntity } from './entity-types.js'
import type { ForeignKey } from './foreign-key.js'
import type { AnyRelation, BelongsTo, Cascade, HasMany, HasOne, ManyToMany } from './relations.js'
import type { TableColumn } from './table-column.js'
import type { Table } from './table.js'

/** A relation whose ends were found. */
export interface Relation {
  /** Name of the property. */
  readonly name: string
  readonly kind: AnyRelation['kind']
  /** True if the property holds an array. */
  readonly many: boolean
  readonly target: AnyEntity
  /** Columns of the owner... */
  readonly ownColumns: readonly TableColumn[]
  /** ...that equal these of the target; or of `link.own`, where there is a join table. */
  readonly targetColumns: readonly TableColumn[]
  readonly link: RelationLink | undefined
  readonly cascades: ReadonlySet<Cascade>
  /** Order of the loaded objects; undefined: by primary key. */
  readonly orderBy: (() => SqlFragment<unknown>) | undefined
}

/** The join table. */
export interface RelationLink {
  readonly table: Table
  /** Equal the owner's `ownColumns`. */
  readonly own: readonly TableColumn[]
  /** Equal the target's `targetColumns`. */
  readonly other: readonly TableColumn[]
}

/** A relation of which a query loads a part. */
export interface RelationPart {
  readonly relation: Relation
  readonly conditions: readonly SqlFragment<unknown>[]
  /** Undefined: that of the relation. */
  readonly order: readonly SqlFragment<unknown>[] | undefined
  /** For each owner. */
  readonly limit: number | undefined
  /** Deferred columns of the target that are not loaded. */
  readonly lacking: readonly TableColumn[]
}

/** Relations to load, one after the other (`songs.album`), with deferred columns of the last ones. */
export interface UndeferredPath {
  readonly path: string
  readonly undefer: readonly string[]
}

/** What a query loads with its entities: paths of relations, and relations of which a part is to be loaded. */
export type RelationLoad = string | UndeferredPath | RelationPart

/** The other tables of the metadata. */
export interface TableRegistry {
  readonly tables: readonly Table[]
  foreignKeys(table: Table): readonly ForeignKey[]
}

const CIRCLE =
  'Do the modules of its entities import each other in a circle? Import the base from a module that imports no entity, ' +
  'and load all entity modules before the first use'

/** @throws MappingError if the columns do not exist, do not lead from one to the other, or cannot tell rows apart. */
export function resolveRelation(
  owner: Table,
  name: string,
  relation: AnyRelation,
  registry: TableRegistry,
): Relation {
  const resolved = resolve(owner, name, relation, registry)
  const { ownColumns, targetColumns, link } = resolved
  const keyless = [relation.target()[ENTITY].table, link?.table].find((one) => one?.isKeyless)
  if (keyless !== undefined) {
    throw new MappingError(
      `The relation ${owner.key}.${name} leads to ${keyless.key}, which is keyless: a session cannot tell its objects apart`,
    )
  }
  const followed = [ownColumns, targetColumns, link?.own ?? [], link?.other ?? []].flat()
  const deferred = followed.find((column) => column.deferred)
  if (deferred !== undefined) {
    throw new MappingError(
      `The relation ${owner.key}.${name} follows ${deferred}, which cannot be deferred then`,
    )
  }
  const inexact = followed.find(({ isInstant }) => isInstant)
  if (inexact === undefined) return resolved
  throw new MappingError(
    `The relation ${owner.key}.${name} follows ${inexact}, whose microseconds are only kept where it is declared to name ` +
      'rows: with references() where it refers to others, with unique() or primaryKey() where others refer to it',
  )
}

/** What the function of a relation returns. @throws MappingError if the name in it is unknown, or its class not made yet. */
function targetOf(owner: Table, name: string, relation: AnyRelation): unknown {
  try {
    return relation.target()
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error
    const advice = error.message.includes('is not defined')
      ? 'Is an import missing, or a name misspelt?'
      : CIRCLE
    const message = `The relation ${owner.key}.${name} leads to no entity: ${error.message}. ${advice}`
    throw new MappingError(message, { cause: error })
  }
}

function resolve(owner: Table, name: string, relation: AnyRelation, registry: TableRegistry): Relation {
  const target = targetOf(owner, name, relation)
  if (typeof target !== 'function' || !(ENTITY in target)) {
    const isLate = target === undefined
    throw new MappingError(
      `The relation ${owner.key}.${name} leads to ${isLate ? 'undefined' : 'what is no entity'}` +
        (isLate ? `. ${CIRCLE}` : `: the function of ${relation.kind} must return an entity`),
    )
  }
  const entity = target as unknown as AnyEntity
  const { table } = entity[ENTITY]
  const common = {
    name,
    kind: relation.kind,
    many: relation.kind === 'hasMany' || relation.kind === 'manyToMany',
    target: entity,
    link: undefined,
    cascades: cascadesOf(owner, name, relation),
    orderBy: 'orderBy' in relation.options ? relation.options.orderBy : undefined,
  }
  if (!registry.tables.includes(table)) {
    throw new MappingError(
      `The relation ${owner.key}.${name} leads to ${table.key}, which belongs to another base`,
    )
  }
  switch (relation.kind) {
    case 'belongsTo':
      return { ...common, ...belongs(owner, `${owner.key}.${name}`, relation, table, registry) }
    case 'hasMany':
    case 'hasOne': {
      const { ownColumns, targetColumns } = belongs(table, `${owner.key}.${name}`, relation, owner, registry)
      return { ...common, ownColumns: targetColumns, targetColumns: ownColumns }
    }
    case 'manyToMany':
      return { ...common, ...linked(owner, name, relation, table, registry) }
  }
}

// In the order in which a message lists them.
const CASCADES: readonly Cascade[] = ['add', 'delete', 'delete-orphan']

function cascadesOf(
  owner: Table,
  name: string,
  { kind, options: { cascade = ['add'] } }: AnyRelation,
): ReadonlySet<Cascade> {
  const words: unknown = cascade
  const unknown = Array.isArray(words) ? words.find((word) => !CASCADES.includes(word as Cascade)) : words
  if (Array.isArray(words) && unknown === undefined && !words.includes(undefined)) {
    const cascades = new Set(cascade)
    checkOrphans(`${owner.key}.${name}`, kind, cascades)
    return cascades
  }
  const hint = typeof unknown === 'string' ? didYouMean(unknown, CASCADES) : ''
  const known = `'${CASCADES.slice(0, -1).join("', '")}' and '${CASCADES.at(-1)}'`
  throw new MappingError(
    `The relation ${owner.key}.${name} has the cascade ${String(unknown)}; it takes a list of ${known}${hint}`,
  )
}

function checkOrphans(relation: string, kind: AnyRelation['kind'], cascades: ReadonlySet<Cascade>): void {
  if (!cascades.has('delete-orphan')) return
  if (kind !== 'hasMany' && kind !== 'hasOne') {
    throw new MappingError(
      `The relation ${relation} cannot delete orphans: 'delete-orphan' is for hasMany and hasOne, whose objects belong to one owner`,
    )
  }
  if (cascades.has('delete')) return
  throw new MappingError(
    `The relation ${relation} deletes orphans, so it must delete with the owner, too: cascade: ['add', 'delete', 'delete-orphan']`,
  )
}

interface Ends {
  readonly ownColumns: readonly TableColumn[]
  readonly targetColumns: readonly TableColumn[]
}

const MOST_NAMED = 10

/** The ends seen from the side that holds the foreign key. */
function belongs(
  holder: Table,
  name: string,
  { keys }: BelongsTo<AnyEntity, string> | HasMany<AnyEntity> | HasOne<AnyEntity>,
  target: Table,
  registry: TableRegistry,
): Ends {
  const ownColumns = keys.map((property) => {
    if (holder.has(property)) return holder.column(property)
    const known = holder.columns.map((column) => column.property)
    const hint = didYouMean(property, known) || `; it has ${known.slice(0, MOST_NAMED).join(', ')}`
    throw new MappingError(`The relation ${name} is wrong: ${holder.key} has no column '${property}'${hint}`)
  })
  const declared = registry
    .foreignKeys(holder)
    .find((key) => key.target === target && sameColumns(key.columns, ownColumns))
  if (declared !== undefined) return { ownColumns: declared.columns, targetColumns: declared.targetColumns }
  // Databases without declared foreign keys exist: the primary key is then meant.
  if (ownColumns.length !== target.primaryKey.length) {
    throw new MappingError(
      `The relation ${name} needs as many columns of ${holder.key} as ${target.key} has in its key`,
    )
  }
  return { ownColumns, targetColumns: target.primaryKey }
}

function linked(
  owner: Table,
  name: string,
  { through, options }: ManyToMany<AnyEntity>,
  target: Table,
  registry: TableRegistry,
): Ends & { readonly link: RelationLink } {
  const table =
    registry.tables.find(({ key }) => key === through) ??
    registry.tables.find(({ name: own, schema }) => own === through && schema === owner.schema)
  if (table === undefined) {
    throw new MappingError(
      `The relation ${owner.key}.${name} goes through '${through}', which is no entity of this base`,
    )
  }
  const toOwner = findKey(table, owner, options.own, `${owner.key}.${name}`, 'own', registry)
  const toTarget = findKey(table, target, options.other, `${owner.key}.${name}`, 'other', registry)
  return {
    ownColumns: toOwner.targetColumns,
    targetColumns: toTarget.targetColumns,
    link: { table, own: toOwner.columns, other: toTarget.columns },
  }
}

function findKey(
  link: Table,
  target: Table,
  properties: readonly string[] | undefined,
  relation: string,
  option: 'own' | 'other',
  registry: TableRegistry,
): ForeignKey {
  const named = properties?.map((property) => link.column(property))
  const [found, another] = registry
    .foreignKeys(link)
    .filter((key) => key.target === target && (named === undefined || sameColumns(key.columns, named)))
  if (found === undefined) {
    throw new MappingError(`The relation ${relation} needs a foreign key from ${link.key} to ${target.key}`)
  }
  if (another !== undefined) {
    throw new MappingError(
      `${link.key} has several foreign keys to ${target.key}: name the one for ${relation} with the option '${option}'`,
    )
  }
  return found
}

function sameColumns(some: readonly TableColumn[], others: readonly TableColumn[]): boolean {
  return some.length === others.length && some.every((column) => others.includes(column))
}
