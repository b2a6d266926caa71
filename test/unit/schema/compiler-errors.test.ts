/** Mistakes that the compiler finds: its error names what there is, and an editor offers it. */
import { beforeAll, expect, test } from 'vitest'
import { edit, type EditedFile } from './language-service.js'

const DECLARATIONS = `
import { belongsTo, build, declarativeBase, hasMany, integer, select, serial, Session, text } from 'lifeguard'
const Base = declarativeBase()
class User extends Base.entity('users', { id: serial().primaryKey(), email: text().notNull() }) {
  static readonly relations = { posts: hasMany(() => Post, 'userId'), notes: hasMany(() => Post, 'userId') }
}
class Post extends Base.entity('posts', {
  id: serial().primaryKey(),
  title: text().notNull(),
  userId: integer('user_id').notNull().references('users.id'),
}) {
  static readonly relations = { user: belongsTo(() => User, 'userId') }
}
declare const session: Session
`

const MISTAKES: readonly (readonly [line: string, error: string])[] = [
  [`void session.get(User, 1, { load: ['post'] })`, `'"posts" | "notes"'. Did you mean '"posts"'?`],
  [`void session.getOne(User, 1, { load: ['posts', 'posts.usr'] })`, `Did you mean '"posts.user"'?`],
  [`select(User).load('post')`, `not assignable to parameter of type '"posts" | "notes"'`],
  [`select(Post).load('user.x')`, `not assignable to parameter of type '"user.posts" | "user.notes"'`],
  [`new Post({})`, `Property 'title' is missing`],
]

/** A mark stands where the caller types. */
const TYPED: readonly (readonly [line: string, offered: readonly string[]])[] = [
  [`void session.get(User, 1, { load: ['|'] })`, ['posts', 'notes']],
  [`void session.getOne(User, 1, { load: ['posts', '|'] })`, ['posts', 'notes']],
  [`select(User).load('|')`, ['posts', 'notes']],
  [`select(User).load('posts.|')`, ['posts.user']],
]

const RIGHT = [
  `build(User, { email: 'a', posts: [new Post({ title: 't' })] })`,
  `new Post({ title: 't', userId: 1 })`,
  `session.getOne(User, 1, { load: ['posts.user'] }).then((user): string => user.posts[0]!.user.email)`,
]

const firstLine = DECLARATIONS.split('\n').length - 1
const lines = [...MISTAKES, ...TYPED].map(([line]) => line)
const source = DECLARATIONS + [...lines, ...RIGHT].join('\n')

let file: EditedFile
let errors: ReturnType<EditedFile['errors']>
beforeAll(() => {
  file = edit('mistakes.ts', source)
  errors = file.errors()
}, 60_000)

test.each(MISTAKES)('%s', (line, error) => {
  const of = errors.find((one) => one.line === firstLine + lines.indexOf(line))
  expect(of?.message).toContain(error)
})

test.each(TYPED)('an editor completes %s', (line, offered) => {
  expect(file.completions(source.indexOf(line) + line.indexOf('|'))).toEqual(
    expect.arrayContaining([...offered]),
  )
})

test('what is right compiles: a new object may get its foreign key from its parent', () => {
  expect(errors.filter(({ line }) => line >= firstLine + lines.length)).toEqual([])
})
