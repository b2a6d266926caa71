/** Owners with children of every kind that a row switch meets: kept without their owner, deleted with it, deleted as orphans. */
import { belongsTo, declarativeBase, hasMany, integer, text, type AnyEntity } from '../../src/index.js'

export const Base = declarativeBase()

const named = { id: integer().primaryKey(), name: text().notNull() }

class Owner extends Base.entity('owners', named) {
  static readonly relations = {
    kids: hasMany(() => Kid, 'parentId'),
    pets: hasMany(() => Pet, 'parentId', { cascade: ['add', 'delete', 'delete-orphan'] }),
  }
}

const ofOwner = { ...named, parentId: integer('parent_id').references('owners.id') }

/** Stays without its owner. */
class Kid extends Base.entity('kids', ofOwner) {
  static readonly relations = { parent: belongsTo(() => Owner, 'parentId') }
}

/** Goes with its owner, and when it is taken out of it. */
class Pet extends Base.entity('pets', ofOwner) {
  static readonly relations = {
    parent: belongsTo(() => Owner, 'parentId'),
    toys: hasMany(() => Toy, 'parentId'),
  }
}

class Toy extends Base.entity('toys', {
  ...named,
  parentId: integer('parent_id').references('pets.id'),
}) {
  static readonly relations = { parent: belongsTo(() => Pet, 'parentId') }
}

export const ENTITIES = { owner: Owner, kid: Kid, pet: Pet, toy: Toy } satisfies Record<string, AnyEntity>

export type Kind = keyof typeof ENTITIES
export const KINDS = Object.keys(ENTITIES) as Kind[]

export const PARENTS: Readonly<Partial<Record<Kind, Kind>>> = { kid: 'owner', pet: 'owner', toy: 'pet' }

/** The relations whose objects a plain delete has to know. */
export const KEPT: Readonly<Partial<Record<Kind, string>>> = { owner: 'kids', pet: 'toys' }
