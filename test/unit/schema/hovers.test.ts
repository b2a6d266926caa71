/** What an editor shows of entities: short, and with the names that were written. */
import { beforeAll, expect, test } from 'vitest'
import { edit, type EditedFile } from './language-service.js'

const LONGEST = 300

// A mark stands in front of what is hovered over.
const SOURCE = `
import { randomUUID } from 'node:crypto'
import { belongsTo, build, declarativeBase, eq, hasMany, integer, select, Session, text, timestamptz, update, uuid, version } from 'lifeguard'

const Base = declarativeBase()
class Song extends Base.entity('songs', {
  id: uuid().primaryKey().default(randomUUID),
  title: text().notNull(),
  plays: integer().notNull().default(0),
  albumId: uuid('album_id').references('albums.id', { onDelete: 'cascade' }),
  createdAt: timestamptz('created_at').notNull(),
  version: version(),
}) {
  static readonly relations = { album: belongsTo(() => Album, 'albumId') }
}
class Album extends Base.entity('albums', { id: uuid().primaryKey(), name: text().notNull() }) {
  static readonly relations = { songs: hasMany(() => Song, 'albumId') }
}
declare const session: Session

const song = new /*constructor*/Song({ title: 'x', createdAt: new Date() })
song./*property*/title
Song.c./*column*/title
const /*found*/found = await session./*get*/get(Song, 'x')
const /*album*/album = await session./*getLoaded*/getOne(Album, 'x', { load: ['songs', 'songs.album'] })
album./*songs*/songs
const /*query*/query = select(Song)./*where*/where(/*eq*/eq(Song.c.title, 'x'))
const /*result*/result = await session./*execute*/execute(query)
const /*one*/one = result./*scalarOneOrNone*/scalarOneOrNone()
const /*all*/all = await session./*scalars*/scalars(query)
const /*titles*/titles = select(Song)./*columns*/columns('title', 'plays')
update(Song)./*set*/set({ plays: 1 })
const /*built*/built = /*build*/build(Song, { title: 'x', createdAt: new Date() })
await session./*refresh*/refresh(song)
await session./*merge*/merge(song)
`

const marks = [...SOURCE.matchAll(/\/\*(\w+)\*\//g)].map(([mark, name = '']) => ({
  name,
  position: SOURCE.indexOf(mark) + mark.length,
}))

let file: EditedFile
beforeAll(() => {
  file = edit('hovers.ts', SOURCE)
  expect(file.errors()).toEqual([])
}, 60_000)

function hover(name: string): string {
  const { position } = marks.find((mark) => mark.name === name) ?? { position: 0 }
  return file.hover(position)
}

test.each(marks)('the hover of $name is short', ({ name }) => {
  const text = hover(name)
  expect(text).not.toBe('')
  expect(text.length, text).toBeLessThanOrEqual(LONGEST)
  // A type that was given up on, or a name of the library's inside.
  expect(text).not.toMatch(/\.\.\.(?!\w)|\bany\b|StoredRow|ENTITY|\$value/)
})

test.each([
  ['property', '(property) title: string'],
  ['column', '(property) title: ColumnRef<string>'],
  ['found', 'const found: Song | null'],
  ['album', 'const album: Album & {\n    songs: (Song & {\n        album: Album | null;\n    })[];\n}'],
  ['query', 'const query: Select<typeof Song, Song, Song>'],
  ['result', 'const result: Result<Song, Song>'],
  ['one', 'const one: Song | null'],
  ['all', 'const all: Song[]'],
  ['built', 'const built: WithRelations<typeof Song>'],
])('the hover of %s names what was declared', (name, text) => {
  expect(hover(name)).toBe(text)
})

test('the constructor shows its class and its columns', () => {
  expect(hover('constructor')).toMatch(
    /^constructor Song\(values: \w+<{[^]*title: Column<string, never>;[^]*}, never>\): Song$/,
  )
})
