/** Parents and children in every way in which a delete goes on: with and without `delete-orphan`, over two levels, by keys that share a column. */
import {
  belongsTo,
  declarativeBase,
  hasMany,
  hasOne,
  integer,
  serial,
  text,
  type AnyEntity,
} from '../../src/index.js'

export const Base = declarativeBase()

const made = { id: serial().primaryKey(), label: text().notNull() }

/** Its toys go with it, but may be without a box. */
class Box extends Base.entity('boxes', made) {
  static readonly relations = { toys: hasMany(() => Toy, 'boxId', { cascade: ['add', 'delete'] }) }
}

class Toy extends Base.entity('toys', { ...made, boxId: integer('box_id').references('boxes.id') }) {
  static readonly relations = {
    box: belongsTo(() => Box, 'boxId'),
    stickers: hasMany(() => Sticker, 'toyId', { cascade: ['add', 'delete', 'delete-orphan'] }),
  }
}

/** Cannot be without a toy. */
class Sticker extends Base.entity('stickers', {
  ...made,
  toyId: integer('toy_id').notNull().references('toys.id'),
}) {
  static readonly relations = { toy: belongsTo(() => Toy, 'toyId') }
}

/** Its books go when they are taken out of it. */
class Shelf extends Base.entity('shelves', made) {
  static readonly relations = {
    books: hasMany(() => Book, 'shelfId', { cascade: ['add', 'delete', 'delete-orphan'] }),
  }
}

class Book extends Base.entity('books', { ...made, shelfId: integer('shelf_id').references('shelves.id') }) {
  static readonly relations = {
    shelf: belongsTo(() => Shelf, 'shelfId'),
    cover: hasOne(() => Cover, 'bookId', { cascade: ['add', 'delete'] }),
  }
}

class Cover extends Base.entity('covers', {
  ...made,
  bookId: integer('book_id').references('books.id'),
}) {
  static readonly relations = { book: belongsTo(() => Book, 'bookId') }
}

/** Its beds stay without it; its gate goes when it is taken off; its fences go with it by the database. */
class Garden extends Base.entity('gardens', made) {
  static readonly relations = {
    beds: hasMany(() => Bed, 'gardenId'),
    gate: hasOne(() => Gate, 'gardenId', { cascade: ['add', 'delete', 'delete-orphan'] }),
    fences: hasMany(() => Fence, 'gardenId', { cascade: ['add', 'delete'] }),
  }
}

class Bed extends Base.entity('beds', {
  ...made,
  gardenId: integer('garden_id').references('gardens.id'),
}) {
  static readonly relations = { garden: belongsTo(() => Garden, 'gardenId') }
}

class Gate extends Base.entity('gates', {
  ...made,
  gardenId: integer('garden_id').references('gardens.id'),
}) {
  static readonly relations = { garden: belongsTo(() => Garden, 'gardenId') }
}

class Fence extends Base.entity('fences', {
  ...made,
  gardenId: integer('garden_id').references('gardens.id', { onDelete: 'cascade' }),
}) {
  static readonly relations = { garden: belongsTo(() => Garden, 'gardenId') }
}

const tenant = {
  tenantId: integer('tenant_id').primaryKey(),
  id: integer().primaryKey(),
  label: text().notNull(),
}

class Account extends Base.entity('accounts', tenant) {
  static readonly relations = {
    entries: hasMany(() => Entry, ['tenantId', 'accountId'], { cascade: ['add', 'delete'] }),
  }
}

class Category extends Base.entity('categories', tenant) {}

/** All of its keys share the tenant. */
class Entry extends Base.entity(
  'entries',
  { ...tenant, accountId: integer('account_id'), categoryId: integer('category_id') },
  {
    foreignKeys: [
      { columns: ['tenantId', 'accountId'], references: ['accounts.tenant_id', 'accounts.id'] },
      { columns: ['tenantId', 'categoryId'], references: ['categories.tenant_id', 'categories.id'] },
    ],
  },
) {
  static readonly relations = {
    account: belongsTo(() => Account, ['tenantId', 'accountId']),
    category: belongsTo(() => Category, ['tenantId', 'categoryId']),
  }
}

export const ENTITIES = {
  box: Box,
  toy: Toy,
  sticker: Sticker,
  shelf: Shelf,
  book: Book,
  cover: Cover,
  garden: Garden,
  bed: Bed,
  gate: Gate,
  fence: Fence,
  account: Account,
  category: Category,
  entry: Entry,
} satisfies Record<string, AnyEntity>

export type Kind = keyof typeof ENTITIES
export const KINDS = Object.keys(ENTITIES) as Kind[]

/** What belongs to what, and what becomes of it. */
export interface Link {
  readonly child: Kind
  readonly parent: Kind
  /** The relation of the child. */
  readonly relation: string
  /** That of the parent. */
  readonly other?: string
  readonly many?: boolean
  /** The property of the child that leads to `id` of the parent. */
  readonly key: string
  readonly deletes?: boolean
  readonly orphans?: boolean
  readonly required?: boolean
}

export const LINKS: readonly Link[] = [
  { child: 'toy', parent: 'box', relation: 'box', other: 'toys', many: true, key: 'boxId', deletes: true },
  {
    child: 'sticker',
    parent: 'toy',
    relation: 'toy',
    other: 'stickers',
    many: true,
    key: 'toyId',
    deletes: true,
    orphans: true,
    required: true,
  },
  {
    child: 'book',
    parent: 'shelf',
    relation: 'shelf',
    other: 'books',
    many: true,
    key: 'shelfId',
    deletes: true,
    orphans: true,
  },
  { child: 'cover', parent: 'book', relation: 'book', other: 'cover', key: 'bookId', deletes: true },
  { child: 'bed', parent: 'garden', relation: 'garden', other: 'beds', many: true, key: 'gardenId' },
  {
    child: 'gate',
    parent: 'garden',
    relation: 'garden',
    other: 'gate',
    key: 'gardenId',
    deletes: true,
    orphans: true,
  },
  {
    child: 'fence',
    parent: 'garden',
    relation: 'garden',
    other: 'fences',
    many: true,
    key: 'gardenId',
    deletes: true,
  },
  {
    child: 'entry',
    parent: 'account',
    relation: 'account',
    other: 'entries',
    many: true,
    key: 'accountId',
    deletes: true,
  },
  { child: 'entry', parent: 'category', relation: 'category', key: 'categoryId' },
]

export const TENANTS = [1, 2]

export function isOfTenant(kind: Kind): boolean {
  return 'tenantId' in ENTITIES[kind].c
}

export function linksOf(child: Kind): readonly Link[] {
  return LINKS.filter((link) => link.child === child)
}
