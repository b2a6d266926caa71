/** Relations between entities, declared in the class body: `static readonly relations = { album: belongsTo(...) }`. */
import { MappingError } from '../errors.js'
import type { SqlFragment } from '../sql.js'
import { ENTITY, type AnyEntity, type ColumnName, type ColumnsOf, type InstanceOf } from './entity-types.js'
import { isFunction } from '../internal/revoked.js'
import { checkCallback, checkString, refuseUnknownKeys, requireNames } from '../internal/validate.js'

/** Operations on an object that also apply to its related objects. */
export type Cascade = 'add' | 'delete' | 'delete-orphan'

/** Options of every relation. */
export interface RelationOptions {
  /**
   * `add`: adding an object to a session adds its related objects. `delete`: deleting an object deletes the related objects that
   * belong to it at the flush. `delete-orphan` (`hasMany` and `hasOne`, together with `delete`): an object that is removed from
   * the relation, and gets no other owner, is deleted.
   * Default: `['add']`.
   */
  readonly cascade?: readonly Cascade[] | undefined
}

/** Options of relations to many. */
export interface CollectionOptions extends RelationOptions {
  /** Order in which the objects are loaded. Default: by primary key. */
  readonly orderBy?: (() => SqlFragment<unknown>) | undefined
}

/** Options of {@link manyToMany}. */
export interface ManyToManyOptions extends CollectionOptions {
  /**
   * Properties of the join table that refer to this entity and to the other one. Default: found by the foreign keys of the join
   * table. Needed if several foreign keys fit, as between objects of one class.
   */
  readonly own?: readonly string[] | undefined
  readonly other?: readonly string[] | undefined
}

/** Declared by {@link belongsTo}. */
export interface BelongsTo<E extends AnyEntity, Key extends string> {
  readonly kind: 'belongsTo'
  readonly target: () => E
  readonly keys: readonly Key[]
  readonly options: RelationOptions
}

/** Declared by {@link hasMany}. */
export interface HasMany<E extends AnyEntity> {
  readonly kind: 'hasMany'
  readonly target: () => E
  readonly keys: readonly string[]
  readonly options: CollectionOptions
}

/** Declared by {@link hasOne}. */
export interface HasOne<E extends AnyEntity> {
  readonly kind: 'hasOne'
  readonly target: () => E
  readonly keys: readonly string[]
  readonly options: RelationOptions
}

/** Declared by {@link manyToMany}. */
export interface ManyToMany<E extends AnyEntity> {
  readonly kind: 'manyToMany'
  readonly target: () => E
  /** The join table, named as in `references`. */
  readonly through: string
  readonly options: ManyToManyOptions
}

/** Any relation. */
export type AnyRelation =
  BelongsTo<AnyEntity, string> | HasMany<AnyEntity> | HasOne<AnyEntity> | ManyToMany<AnyEntity>

/**
 * A relation to one object. This entity has the foreign key, in the named properties.
 * @throws InvalidOptionError for an unknown option, naming the nearest known one, and for names that are no text; MappingError for an
 *   entity in place of the function.
 * @example
 * static readonly relations = { album: belongsTo(() => Album, 'albumId') }
 */
export function belongsTo<E extends AnyEntity, const Key extends string>(
  target: () => E,
  key: Key | readonly Key[],
  options: RelationOptions = {},
): BelongsTo<E, Key> {
  return { kind: 'belongsTo', ...checked('belongsTo', target, options), keys: listOf('belongsTo', key) }
}

/**
 * A relation to any number of objects of the other entity, which has the foreign key, in the named properties.
 * @throws as {@link belongsTo}.
 * @example
 * static readonly relations = { songs: hasMany(() => Song, 'albumId', { orderBy: () => asc(Song.c.title) }) }
 */
export function hasMany<E extends AnyEntity>(
  target: () => E,
  key: ColumnName<E> | readonly ColumnName<E>[],
  options: CollectionOptions = {},
): HasMany<E> {
  return { kind: 'hasMany', ...checked('hasMany', target, options), keys: listOf('hasMany', key) }
}

/** As {@link hasMany}, if at most one object has the foreign key. The property is an object or null. @throws as {@link belongsTo}. */
export function hasOne<E extends AnyEntity>(
  target: () => E,
  key: ColumnName<E> | readonly ColumnName<E>[],
  options: RelationOptions = {},
): HasOne<E> {
  return { kind: 'hasOne', ...checked('hasOne', target, options), keys: listOf('hasOne', key) }
}

/**
 * A relation to any number of objects through a join table, which is an entity of the same base.
 * @param through The join table, named as in `references`.
 * @throws as {@link belongsTo}.
 * @example
 * static readonly relations = { tags: manyToMany(() => Tag, 'song_tags') }
 */
export function manyToMany<E extends AnyEntity>(
  target: () => E,
  through: string,
  options: ManyToManyOptions = {},
): ManyToMany<E> {
  checkString('the join table of manyToMany', through)
  return { kind: 'manyToMany', ...checked('manyToMany', target, options), through }
}

/** @throws InvalidOptionError unless it is a name, or a list of names. */
function listOf<Name extends string>(
  kind: AnyRelation['kind'],
  names: Name | readonly Name[],
): readonly Name[] {
  if (typeof names === 'string') return [names]
  requireNames(`the foreign key of ${kind}`, names)
  return names
}

const OPTIONS: Readonly<Record<AnyRelation['kind'], readonly string[]>> = {
  belongsTo: ['cascade'],
  hasMany: ['cascade', 'orderBy'],
  hasOne: ['cascade'],
  manyToMany: ['cascade', 'orderBy', 'own', 'other'],
}

/** The parts that every relation has. @throws MappingError, InvalidOptionError */
function checked<Target extends () => AnyEntity, Options extends ManyToManyOptions>(
  kind: AnyRelation['kind'],
  target: Target,
  options: Options,
): { readonly target: Target; readonly options: Options } {
  refuseUnknownKeys(kind, options, OPTIONS[kind])
  const { orderBy, own, other } = options
  if (orderBy !== undefined) checkCallback(`orderBy of ${kind}`, orderBy)
  if (own !== undefined) requireNames('own', own)
  if (other !== undefined) requireNames('other', other)
  return { target: thunkOf(kind, target), options }
}

/** The relations of an entity class. */
export type RelationsOf<E extends AnyEntity> = E extends { readonly relations: infer Relations }
  ? Relations
  : Record<never, never>

/** The names of the relations of an entity class. */
export type RelationName<E extends AnyEntity> = keyof RelationsOf<E> & string

/** The names of the relations to many objects. */
export type CollectionName<E extends AnyEntity> = {
  [Name in RelationName<E>]: RelationsOf<E>[Name] extends { readonly kind: 'hasMany' | 'manyToMany' }
    ? Name
    : never
}[RelationName<E>]

/** An instance with the part of a relation to many that its query has loaded. */
export type LoadedPart<E extends AnyEntity, Name extends RelationName<E>> = {
  readonly [Property in Name]: readonly InstanceOf<TargetOf<RelationsOf<E>[Property]>>[]
}

/** The entity class that a relation leads to. */
type TargetOf<Relation> = Relation extends { readonly target: () => infer Target extends AnyEntity }
  ? Target
  : never

/** The entity that a path of relations leads to. */
export type EntityAt<E extends AnyEntity, Path extends string> = Path extends `${infer Head}.${infer Rest}`
  ? EntityAt<TargetOf<RelationsOf<E>[Head & RelationName<E>]>, Rest>
  : TargetOf<RelationsOf<E>[Path & RelationName<E>]>

/** A path of relations (`'songs'`, `'songs.album'`), if it exists; otherwise the possible paths, which the compiler then shows. */
export type RelationPath<
  E extends AnyEntity,
  Path extends string,
> = Path extends `${infer Head}.${infer Rest}`
  ? Head extends RelationName<E>
    ? `${Head}.${RelationPath<TargetOf<RelationsOf<E>[Head]>, Rest>}`
    : RelationName<E>
  : RelationName<E>

/**
 * The type of a parameter for `Path`: what exists, for the compiler's message and for completion in an editor. The mapped type
 * writes the names out; without it the message shows `RelationName<...>`.
 */
export type KnownPath<E extends AnyEntity, Path extends string> =
  Path extends RelationPath<E, Path> ? Path : { [Name in RelationPath<E, Path>]: Name }[RelationPath<E, Path>]

/** An instance with the relations that the paths name. Reading another relation does not compile. */
export type Loaded<E extends AnyEntity, Path extends string> = [Path] extends [never]
  ? InstanceOf<E>
  : InstanceOf<E> & { [Name in HeadOf<Path> & RelationName<E>]: Related<E, Name, RestOf<Path, Name>> }

type HeadOf<Path extends string> = Path extends `${infer Head}.${string}` ? Head : Path
type RestOf<Path extends string, Head extends string> = Path extends `${Head}.${infer Rest}` ? Rest : never

/** The type of a loaded relation. */
type Related<E extends AnyEntity, Name extends keyof RelationsOf<E>, Path extends string> =
  RelationsOf<E>[Name] extends BelongsTo<infer Target, infer Key>
    ? Loaded<Target, Path> | NullIfNullable<E, Key>
    : RelationsOf<E>[Name] extends HasOne<infer Target>
      ? Loaded<Target, Path> | null
      : RelationsOf<E>[Name] extends { readonly target: () => infer Target extends AnyEntity }
        ? Loaded<Target, Path>[]
        : never

type NullIfNullable<E extends AnyEntity, Key extends string> = null extends ColumnsOf<E>[Key]['$value']
  ? null
  : never

/** Instances whose relations may have been assigned: `const song: WithRelations<typeof Song> = new Song({ ... })`. */
export type WithRelations<E extends AnyEntity> = InstanceOf<E> & {
  [Name in RelationName<E>]?: Related<E, Name, never>
}

/** @throws MappingError for an entity in place of a function: modules that import each other may not have it yet. */
function thunkOf<Target extends () => AnyEntity>(kind: AnyRelation['kind'], target: Target): Target {
  if (isFunction(target) && !(ENTITY in target)) return target
  const name = isFunction(target) ? (target as { readonly name: string }).name : 'Song'
  throw new MappingError(`${kind} takes a function that returns the entity: ${kind}(() => ${name}, ...)`)
}
