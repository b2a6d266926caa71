/** Entities that refer to each other in every way that there is. */
import { randomUUID } from 'node:crypto'
import {
  belongsTo,
  bigserial,
  declarativeBase,
  hasMany,
  integer,
  jsonb,
  manyToMany,
  serial,
  sql,
  text,
  timestamptz,
  uuid,
  version,
  type AnyEntity,
} from '../../src/index.js'

export const Base = declarativeBase()

/** Refers to itself, and in a circle of nullable foreign keys with teams. */
export class Person extends Base.entity('people', {
  id: serial().primaryKey(),
  name: text()
    .notNull()
    .check(sql`name <> ''`),
  email: text().unique(),
  notes: jsonb<{ list: number[] }>().notNull(),
  seen: timestamptz().notNull(),
  bossId: integer('boss_id').references('people.id'),
  teamId: uuid('team_id').references('teams.id'),
  version: version(),
}) {
  static readonly relations = {
    boss: belongsTo(() => Person, 'bossId'),
    reports: hasMany(() => Person, 'bossId'),
    team: belongsTo(() => Team, 'teamId'),
    tags: manyToMany(() => Tag, 'people_tags'),
  }
}

export class Team extends Base.entity('teams', {
  id: uuid().primaryKey().default(randomUUID),
  name: text().notNull(),
  leadId: integer('lead_id').references('people.id'),
}) {
  static readonly relations = {
    lead: belongsTo(() => Person, 'leadId'),
    members: hasMany(() => Person, 'teamId'),
  }
}

/** Its key is its own to change. */
export class Tag extends Base.entity('tags', { name: text().primaryKey(), label: text().notNull() }) {
  static readonly relations = { people: manyToMany(() => Person, 'people_tags') }
}

// The join table needs no class of its own.
Base.entity('people_tags', {
  personId: integer('person_id').primaryKey().references('people.id'),
  tagName: text('tag_name').primaryKey().references('tags.name'),
})

/** A composite key. */
export class Place extends Base.entity('places', {
  city: text().primaryKey(),
  number: integer().primaryKey(),
  label: text().notNull(),
}) {
  static readonly relations = { visits: hasMany(() => Visit, ['city', 'number']) }
}

export class Visit extends Base.entity(
  'visits',
  { id: bigserial().primaryKey(), label: text().notNull(), city: text(), number: integer() },
  { foreignKeys: [{ columns: ['city', 'number'], references: ['places.city', 'places.number'] }] },
) {
  static readonly relations = { place: belongsTo(() => Place, ['city', 'number']) }
}

/** Neither can be there without the other until COMMIT. */
export class Hen extends Base.entity('hens', {
  id: serial().primaryKey(),
  label: text().notNull(),
  eggId: integer('egg_id').notNull().references('eggs.id', { deferred: true }),
}) {
  static readonly relations = { egg: belongsTo(() => Egg, 'eggId') }
}

export class Egg extends Base.entity('eggs', {
  id: serial().primaryKey(),
  label: text().notNull(),
  henId: integer('hen_id').notNull().references('hens.id', { deferred: true }),
}) {
  static readonly relations = { hen: belongsTo(() => Hen, 'henId') }
}

export type Kind = 'person' | 'team' | 'tag' | 'place' | 'visit' | 'hen' | 'egg'

/** A foreign key with its relation. */
export interface Reference {
  readonly to: Kind
  /** Properties of the holder, by the property of the key that they equal. */
  readonly columns: Readonly<Record<string, string>>
  /** The relation of the other side. */
  readonly collection?: string
  readonly required?: boolean
}

/** What the model has to know of an entity. */
export interface Shape {
  readonly entity: AnyEntity
  readonly table: string
  readonly key: readonly string[]
  /** PostgreSQL makes the key. */
  readonly isMade: boolean
  /** What new objects bring, beside what they refer to. */
  readonly columns: readonly string[]
  /** A text among it that may be changed at will. */
  readonly text: string
  readonly references: Readonly<Record<string, Reference>>
}

export const SHAPES: Readonly<Record<Kind, Shape>> = {
  person: {
    entity: Person,
    table: 'people',
    key: ['id'],
    isMade: true,
    columns: ['name', 'email', 'notes', 'seen'],
    text: 'name',
    references: {
      boss: { to: 'person', columns: { id: 'bossId' }, collection: 'reports' },
      team: { to: 'team', columns: { id: 'teamId' }, collection: 'members' },
    },
  },
  team: {
    entity: Team,
    table: 'teams',
    key: ['id'],
    isMade: false,
    columns: ['id', 'name'],
    text: 'name',
    references: { lead: { to: 'person', columns: { id: 'leadId' } } },
  },
  tag: {
    entity: Tag,
    table: 'tags',
    key: ['name'],
    isMade: false,
    columns: ['name', 'label'],
    text: 'label',
    references: {},
  },
  place: {
    entity: Place,
    table: 'places',
    key: ['city', 'number'],
    isMade: false,
    columns: ['city', 'number', 'label'],
    text: 'label',
    references: {},
  },
  visit: {
    entity: Visit,
    table: 'visits',
    key: ['id'],
    isMade: true,
    columns: ['label'],
    text: 'label',
    references: {
      place: { to: 'place', columns: { city: 'city', number: 'number' }, collection: 'visits' },
    },
  },
  hen: {
    entity: Hen,
    table: 'hens',
    key: ['id'],
    isMade: true,
    columns: ['label'],
    text: 'label',
    references: { egg: { to: 'egg', columns: { id: 'eggId' }, required: true } },
  },
  egg: {
    entity: Egg,
    table: 'eggs',
    key: ['id'],
    isMade: true,
    columns: ['label'],
    text: 'label',
    references: { hen: { to: 'hen', columns: { id: 'henId' }, required: true } },
  },
}

export const KINDS = Object.keys(SHAPES) as Kind[]

/** The collections, by who has them, and what is in them. */
export const COLLECTIONS: Readonly<Partial<Record<Kind, Readonly<Record<string, Kind>>>>> = {
  person: { reports: 'person', tags: 'tag' },
  team: { members: 'person' },
  tag: { people: 'person' },
  place: { visits: 'visit' },
}
