/** `build(Entity, { ... })`: makes a new object together with its related objects. */
import { metaOf } from './entity-meta.js'
import type { ENTITY, AnyEntity, ColumnName, ColumnsOf, Insert } from './entity-types.js'
import type { BelongsTo, RelationName, RelationsOf, WithRelations } from './relations.js'

/** The columns that a relation fills in: a `belongsTo` of this entity, or a `hasMany` or `hasOne` of another entity. */
type RelationKey<E extends AnyEntity> =
  | {
      [Name in RelationName<E>]: RelationsOf<E>[Name] extends BelongsTo<AnyEntity, infer Key> ? Key : never
    }[RelationName<E>]
  | {
      [Name in ColumnName<E>]: 'reference' extends ColumnsOf<E>[Name]['$flags'] ? Name : never
    }[ColumnName<E>]
  | ReferringName<E>

/** The properties in foreign keys of several columns. */
type ReferringName<E extends AnyEntity> = NonNullable<E[typeof ENTITY]['$referring']>

/** What {@link build} takes: as the constructor, and relations; foreign keys may be left out, as these set them. */
export type BuildValues<E extends AnyEntity> = Omit<Insert<E>, RelationKey<E>> &
  Partial<Pick<Insert<E>, RelationKey<E> & keyof Insert<E>>> &
  Partial<Pick<WithRelations<E>, RelationName<E> & keyof WithRelations<E>>>

/**
 * Makes a new object together with its related objects. (The constructor cannot do this, because relations are declared in a
 * subclass of the class that has it.) Foreign keys are set at the flush.
 *
 * @throws MappingError if it is no entity, or for a name that is neither a column nor a relation.
 * @example
 * const album = new Album({ name: 'Blue' })
 * session.add(build(Song, { title: 'Carey', album }))
 */
export function build<E extends AnyEntity>(entity: E, values: BuildValues<E>): WithRelations<E> {
  metaOf(entity)
  const Entity = entity as unknown as new (values: object) => WithRelations<E>
  return new Entity(values)
}
