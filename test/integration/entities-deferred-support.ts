/** Books and pages with deferred columns of every kind. */
import {
  asc,
  belongsTo,
  declarativeBase,
  hasMany,
  integer,
  jsonb,
  serial,
  sql,
  text,
  version,
} from '../../src/index.js'

export const Base = declarativeBase()

export class Book extends Base.entity('books', { id: serial().primaryKey(), name: text() }) {
  static readonly relations = { pages: hasMany(() => Page, 'bookId', { orderBy: () => asc(Page.c.id) }) }
}

export class Page extends Base.entity('pages', {
  id: serial().primaryKey(),
  body: text().notNull().deferred(),
  title: text().notNull(),
  meta: jsonb<{ tags: string[] }>().deferred(),
  note: text()
    .notNull()
    .serverDefault(sql`'none'`)
    .deferred(),
  size: integer()
    .generated(sql`length(body)`)
    .deferred(),
  bookId: integer('book_id').references('books.id'),
  version: version(),
}) {
  static readonly relations = { book: belongsTo(() => Book, 'bookId') }
}
