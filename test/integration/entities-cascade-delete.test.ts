/** What is deleted with an owner: whatever belongs to it when the flush comes, wherever it was before. */
import { describe, expect, test } from 'vitest'
import {
  asc,
  belongsTo,
  build,
  declarativeBase,
  hasMany,
  hasOne,
  integer,
  MappingError,
  select,
  StaleDataError,
  text,
  version,
  type Session,
  type WithRelations,
} from '../../src/index.js'
import { statementsOf, statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Folder extends Base.entity('folders', {
  id: integer().primaryKey(),
  parentId: integer('parent_id').references('folders.id'),
}) {
  static readonly relations = {
    files: hasMany(() => File, 'folderId', { cascade: ['add', 'delete'] }),
    folders: hasMany(() => Folder, 'parentId', { cascade: ['add', 'delete'] }),
    cover: hasOne(() => Cover, 'folderId', { cascade: ['add', 'delete'] }),
    parent: belongsTo(() => Folder, 'parentId'),
  }
}
class File extends Base.entity('files', {
  id: integer().primaryKey(),
  folderId: integer('folder_id').references('folders.id'),
  name: text(),
}) {
  static readonly relations = {
    folder: belongsTo(() => Folder, 'folderId'),
    lines: hasMany(() => Line, 'fileId', { cascade: ['add', 'delete'] }),
    notes: hasMany(() => Note, 'fileId'),
  }
}
class Cover extends Base.entity('covers', {
  id: integer().primaryKey(),
  folderId: integer('folder_id').unique().references('folders.id'),
}) {}
class Line extends Base.entity('lines', {
  id: integer().primaryKey(),
  fileId: integer('file_id').notNull().references('files.id'),
}) {
  static readonly relations = { file: belongsTo(() => File, 'fileId') }
}
class Note extends Base.entity('notes', {
  id: integer().primaryKey(),
  fileId: integer('file_id').notNull().references('files.id', { onDelete: 'cascade' }),
}) {
  static readonly relations = { file: belongsTo(() => File, 'fileId') }
}
class Shelf extends Base.entity('shelves', { id: integer().primaryKey() }) {
  static readonly relations = { books: hasMany(() => Book, 'shelfId', { cascade: ['add', 'delete'] }) }
}
class Book extends Base.entity('books', {
  id: integer().primaryKey(),
  shelfId: integer('shelf_id').references('shelves.id'),
  version: version(),
}) {}

const fixture = useEntities(Base)

/** Folders 1 and 2; file 1, with line 1, and cover 1 lie in folder 1. */
async function stored() {
  const { db } = fixture
  await db.query(
    'insert into folders values (1), (2); insert into files values (1, 1); insert into covers values (1, 1)',
  )
  await db.query(
    'insert into lines values (1, 1); insert into shelves values (1), (2); insert into books values (1, 1, 1)',
  )
  return fixture.factory()
}

const rows = (table: string) => fixture.db.query(`select * from ${table} order by id`)
const folderOf = async () =>
  (await fixture.db.query('select folder_id from files')).map((row) => row['folder_id'])
const both = (session: Session) =>
  session.scalars(select(Folder).load('files', 'cover').orderBy(asc(Folder.c.id))) as Promise<
    [Folder & { files: File[]; cover: Cover | null }, Folder & { files: File[]; cover: Cover | null }]
  >

type Move = (session: Session) => Promise<Folder>

const MOVES: Record<string, Move> = {
  'from array to array': async (session) => {
    const [old, other] = await both(session)
    other.files.push(old.files.pop() as File)
    return old
  },
  'by its own relation': async (session) => {
    const [old, other] = await both(session)
    ;(old.files[0] as File & { folder?: Folder }).folder = other
    return old
  },
  'by its own relation, with nothing loaded': async (session) => {
    const file: File & { folder?: Folder } = await session.getOne(File, 1)
    file.folder = await session.getOne(Folder, 2)
    return session.getOne(Folder, 1)
  },
  'by its foreign key': async (session) => {
    const [old] = await both(session)
    ;(old.files[0] as File).folderId = 2
    return old
  },
  'by its foreign key, with nothing loaded': async (session) => {
    ;(await session.getOne(File, 1)).folderId = 2
    return session.getOne(Folder, 1)
  },
  'into an array that was assigned': async (session) => {
    const file = await session.getOne(File, 1)
    const other: Folder & { files?: File[] } = await session.getOne(Folder, 2)
    other.files = [file]
    return session.getOne(Folder, 1)
  },
  'away, back and away again': async (session) => {
    const [old, other] = await both(session)
    const [file] = old.files as [File & { folder?: Folder }]
    for (const folder of [other, old, other]) file.folder = folder
    return old
  },
}

describe('an object that was given to another owner stays when the first one is deleted', () => {
  test.each(
    Object.keys(MOVES).flatMap((move) => ['', 'flushed', 'deleted first'].map((how) => [move, how] as const)),
  )('%s %s', async (move, how) => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      if (how === 'deleted first') {
        await session.noAutoflush(async () => {
          session.delete(await session.getOne(Folder, 1))
          await MOVES[move]?.(session)
        })
        return
      }
      const old = await (MOVES[move] as Move)(session)
      if (how === 'flushed') await session.flush()
      session.delete(old)
    })
    expect([await folderOf(), await rows('lines')]).toEqual([[2], [{ id: 1, file_id: 1 }]])
    expect(await rows('folders')).toHaveLength(1)
  })

  test('also if it is the only one, and if another session or SQL has moved it', async () => {
    const factory = await stored()
    await factory.withSession(async (session) => {
      const [old, other] = await both(session)
      await session.execute('update files set folder_id = 2')
      other.cover = old.cover
      old.cover = null
      session.delete(old)
    })
    expect([await folderOf(), await rows('covers')]).toEqual([[2], [{ id: 1, folder_id: 2 }]])
  })

  test('although it was moved after it was loaded, with what belongs to it; its object expires', async () => {
    const factory = await stored()
    await factory.withSession(async (session) => {
      const [old] = await session.scalars(select(Folder).load('files.lines').orderBy(Folder.c.id))
      const file = old?.files[0] as File & { lines: Line[] }
      await fixture.db.query('update files set folder_id = 2')
      session.delete(old as Folder)
      await session.flush()
      expect([statusOf(file), session.contains(file)]).toEqual(['persistent', true])
      await session.refresh(file)
      expect(file.folderId).toBe(2)
    })
    expect([await folderOf(), await rows('lines')]).toEqual([[2], [{ id: 1, file_id: 1 }]])
  })

  test('although the answer comes only after COMMIT, and a rollback restores it', async () => {
    const factory = await stored()
    await using session = factory()
    const one = await session.getOne(Folder, 1, { load: ['files'] })
    const [file] = one.files as [File]
    await session.commit()
    await fixture.db.query('delete from lines; update files set folder_id = 2; delete from covers')
    session.delete(one)
    await session.commit()
    expect(statusOf(file)).toBe('persistent')
    const two = await session.getOne(Folder, 2, { load: ['files'] })
    expect(two.files).toEqual([file])
    await fixture.db.query('insert into folders values (3)')
    session.delete(two)
    await fixture.db.query('update files set folder_id = 3')
    await session.flush()
    await session.rollback()
    await session.refresh(file)
    expect([statusOf(file), file.folderId]).toEqual(['persistent', 3])
  })

  test('or is refused with a version that says that it was changed', async () => {
    const factory = await stored()
    const moved = factory.withSession(async (session) => {
      const shelf = await session.getOne(Shelf, 1, { load: ['books'] })
      await fixture.db.query('update books set shelf_id = 2, version = 2')
      session.delete(shelf)
    })
    expect(await errorOf(moved)).toBeInstanceOf(StaleDataError)
    expect(await rows('books')).toEqual([{ id: 1, shelf_id: 2, version: 2 }])
  })
})

describe('an object that belongs to nothing', () => {
  test.each(['array', 'relation', 'key', 'only one'])('stays if it was removed by its %s', async (by) => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const [old] = await both(session)
      const [file] = old.files as [File & { folder?: Folder | null }]
      if (by === 'array') old.files.pop()
      else if (by === 'relation') file.folder = null
      else if (by === 'key') file.folderId = null
      else old.cover = null
      session.delete(old)
    })
    const [files, covers] = [await folderOf(), await rows('covers')]
    if (by === 'only one') expect([files, covers]).toEqual([[], [{ id: 1, folder_id: null }]])
    else expect([files, covers]).toEqual([[null], []])
  })

  test.each([
    ['array', 'lines'],
    ['array', 'notes'],
    ['relation', 'lines'],
    ['relation', 'notes'],
    ['array that was not loaded', 'lines'],
    ['array that was not loaded', 'notes'],
  ] as const)(
    'is refused before anything is sent where it must have an owner, and is not deleted (removed by its %s: %s)',
    async (by, name) => {
      const session = (await stored())()
      await using _ = session
      await fixture.db.query('insert into notes values (1, 1), (2, 1)')
      const isLoaded = by === 'array'
      const file: WithRelations<typeof File> = await session.getOne(File, 1, { load: isLoaded ? [name] : [] })
      const member = await session.getOne(name === 'lines' ? Line : Note, 1, { load: ['file'] })
      if (by === 'array') file[name]?.shift()
      else if (by === 'relation') (member as { file: File | null }).file = null
      else file[name] = []
      session.delete(file)
      const statements = await statementsOf(async () => {
        expect(await errorOf(session.flush())).toBeInstanceOf(MappingError)
      })
      expect(statements.filter((text) => text.startsWith('delete'))).toEqual([])
      await session.rollback()
      expect([await rows('lines'), await rows('notes')]).toMatchObject([[{ id: 1 }], [{ id: 1 }, { id: 2 }]])
    },
  )
})

describe('an object that belongs to an owner that is deleted goes with it', () => {
  test.each(['moved back', 'put in', 'given by its relation', 'given by its key', 'loaded by itself'])(
    'when it was %s',
    async (how) => {
      const { withSession } = await stored()
      await withSession(async (session) => {
        const [one, two] = await both(session)
        const [file] = one.files as [File & { folder?: Folder }]
        if (how === 'moved back') {
          two.files.push(one.files.pop() as File)
          one.files.push(two.files.pop() as File)
          session.delete(one)
          return
        }
        if (how === 'put in') two.files.push(file)
        else if (how === 'given by its relation') file.folder = two
        else if (how === 'given by its key') file.folderId = 2
        else {
          await session.execute('insert into files values (2, 2)')
          await session.getOne(File, 2)
        }
        session.delete(two)
      })
      expect(await folderOf()).toEqual(how === 'loaded by itself' ? [1] : [])
    },
  )

  test('and a new one is not stored', async () => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const [one, two] = await both(session)
      const [lost, kept] = [new File({ id: 8 }), new File({ id: 9 })]
      one.files.push(lost)
      one.files.push(kept)
      session.delete(one)
      expect(session.deleted).toEqual([one, one.files[0], one.cover])
      two.files.push(one.files.pop() as File)
    })
    expect(await rows('files')).toEqual([{ id: 9, folder_id: 2, name: null }])
  })

  test('with all that belongs to it, down to the last, loaded or not; but not what add() has kept', async () => {
    const { withSession } = await stored()
    await fixture.db.query(
      'insert into folders values (3, 1), (4, 3); insert into files values (2, 4), (3, 3)',
    )
    await withSession(async (session) => {
      const root = await session.getOne(Folder, 1)
      const kept = await session.getOne(File, 3)
      session.delete(root)
      session.add(kept)
      kept.folderId = null
    })
    expect(await rows('folders')).toEqual([{ id: 2, parent_id: null }])
    expect([await rows('files'), await rows('lines')]).toEqual([[{ id: 3, folder_id: null, name: null }], []])
  })

  test('in one statement for each table where all is loaded', async () => {
    await stored()
    await fixture.db.query('delete from lines; delete from covers')
    const { withSession } = fixture.factory()
    const statements = await statementsOf(() =>
      withSession(async (session) => {
        const [one] = await both(session)
        session.delete(one)
        expect(session.deleted).toEqual([one, one.files[0]])
        expect(session.dirty).toEqual([])
      }),
    )
    expect(statements).toEqual(['delete from "files"', 'delete from "folders"'])
  })

  test('and is back after a rollback, as its owner is', async () => {
    const factory = await stored()
    await using session = factory()
    const [one] = await both(session)
    const [file] = one.files as [File]
    session.delete(one)
    await session.flush()
    expect([one, file].map(statusOf)).toEqual(['deleted', 'deleted'])
    await session.rollback()
    expect([one, file].map(statusOf)).toEqual(['persistent', 'persistent'])
    session.delete(one)
    await session.rollback()
    expect([session.deleted, build(File, { id: 1 }).id]).toEqual([[], 1])
    await session.commit()
    expect(await folderOf()).toEqual([1])
  })
})
