/** The objects of SQLAlchemy's tests of sessions, re-expressed: natural keys, collections, versions. */
import {
  asc,
  belongsTo,
  declarativeBase,
  hasMany,
  integer,
  manyToMany,
  serial,
  text,
  version,
} from '../../src/index.js'

export const Base = declarativeBase()
export class User extends Base.entity('users', {
  name: text().primaryKey(),
  note: text(),
  bio: text().deferred(),
}) {
  static readonly relations = {
    posts: hasMany(() => Post, 'userName', { orderBy: () => asc(Post.c.id) }),
  }
}
export class Post extends Base.entity('posts', {
  id: serial().primaryKey(),
  title: text(),
  userName: text('user_name').references('users.name', { onUpdate: 'cascade' }),
}) {
  static readonly relations = {
    user: belongsTo(() => User, 'userName'),
    tags: manyToMany(() => Tag, 'post_tags', { orderBy: () => asc(Tag.c.id) }),
  }
}
export class Tag extends Base.entity('tags', { id: integer().primaryKey() }) {}
Base.entity('post_tags', {
  postId: integer('post_id').primaryKey().references('posts.id'),
  tagId: integer('tag_id').primaryKey().references('tags.id'),
})
export class Page extends Base.entity('pages', {
  id: integer().primaryKey(),
  body: text(),
  parentId: integer('parent_id').references('pages.id'),
  version: version(),
}) {
  static readonly relations = {
    parent: belongsTo(() => Page, 'parentId'),
    pages: hasMany(() => Page, 'parentId'),
  }
}
