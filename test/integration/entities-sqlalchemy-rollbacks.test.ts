/** SQLAlchemy's tests of versions and of rollbacks of natural keys (test_versioning, test_transaction), re-expressed. */
import { describe, expect, test } from 'vitest'
import { build, eq, select, sql, StaleDataError, UniqueViolationError, update } from '../../src/index.js'
import { Base, Page, Post, User } from './entities-sqlalchemy-support.js'
import { statementsOf, statusOf, textsOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities(Base)
const all = (table: string) => fixture.db.query(`select * from ${table} order by 1`)

describe('versions', () => {
  test('a value that is set and set back raises nothing (test_revert)', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => session.add(new Page({ id: 1, body: 'a' })))
    const written = await statementsOf(() =>
      withSession(async (session) => {
        const page = await session.getOne(Page, 1)
        page.body = 'b'
        page.body = 'a'
      }),
    )
    expect([written, await all('pages')]).toMatchObject([[], [{ version: 1 }]])
  })

  test('is raised once for each flush, by the foreign key too, and only of the child (test_bump_version)', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      session.addAll([new Page({ id: 1 }), new Page({ id: 2 })])
      await session.flush()
      const [one, two] = [
        await session.getOne(Page, 1, { load: ['pages'] }),
        await session.getOne(Page, 2, { load: ['parent'] }),
      ]
      one.pages.push(two)
      await session.flush()
      two.body = 'x'
      two.parent = null
      await session.flush()
      expect([one.version, two.version]).toEqual([1, 3])
    })
    expect(await all('pages')).toMatchObject([
      { id: 1, version: 1 },
      { id: 2, version: 3, parent_id: null },
    ])
  })

  test('comes back with a savepoint (test_versioning in nested transactions)', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const page = new Page({ id: 1, body: 'a' })
      session.add(page)
      await session.flush()
      page.body = 'b'
      await session
        .beginNested(async () => {
          page.body = 'c'
          await session.flush()
          throw new Error('undo')
        })
        .catch(() => undefined)
      await session.refresh(page)
      expect(page).toMatchObject({ body: 'b', version: 2 })
      page.body = 'd'
    })
    expect(await all('pages')).toMatchObject([{ body: 'd', version: 3 }])
  })

  test('a row with a version that is deleted and added again continues it, if rows may refer to it (test_versioning, row switch)', async () => {
    const { withSession } = fixture.factory()
    await fixture.db.query(`insert into pages values (1, 'a', null, 7)`)
    await withSession(async (session) => {
      session.delete(await session.getOne(Page, 1))
      session.add(new Page({ id: 1, body: 'b' }))
    })
    expect(await all('pages')).toMatchObject([{ body: 'b', version: 8 }])
  })

  test('a delete of a row that another has changed is refused, and of one that is gone (test_versioncheck delete)', async () => {
    for (const sabotage of [`update pages set version = 9`, 'delete from pages']) {
      await fixture.db.query(`truncate pages; insert into pages values (1, 'a', null, 1)`)
      const session = fixture.factory()()
      await using _ = session
      session.delete(await session.getOne(Page, 1))
      await fixture.db.query(sabotage)
      expect(await errorOf(session.commit())).toBeInstanceOf(StaleDataError)
    }
  })
})

describe('rollbacks of natural keys', () => {
  test('a key that was changed comes back, and the object is found by it (NaturalPKRollbackTest)', async () => {
    const session = fixture.factory()()
    await using _ = session
    session.addAll([new User({ name: 'ed' }), new User({ name: 'jack' })])
    await session.commit()
    const [ed, jack] = [await session.getOne(User, 'ed'), await session.getOne(User, 'jack')]
    ed.name = 'edward'
    await session.flush()
    jack.name = 'ed'
    await session.flush()
    expect(await session.get(User, 'ed')).toBe(jack)
    await session.rollback()
    expect(await session.get(User, 'ed')).toBe(ed)
    expect(await session.get(User, 'jack')).toBe(jack)
    expect(await session.get(User, 'edward')).toBe(null)
  })

  test('an object that was deleted and whose key a new one took is back (test_key_replaced_by_update)', async () => {
    const session = fixture.factory()()
    await using _ = session
    const ed = new User({ name: 'ed', note: 'old' })
    session.add(ed)
    await session.commit()
    session.delete(ed)
    const other = new User({ name: 'ed', note: 'new' })
    session.add(other)
    await session.flush()
    expect(await session.get(User, 'ed')).toBe(other)
    await session.rollback()
    expect(await session.get(User, 'ed')).toBe(ed)
    expect([ed.note, statusOf(other)]).toEqual(['old', 'transient'])
  })

  test('a savepoint that took a key gives it back (test_key_replaced in a savepoint)', async () => {
    const session = fixture.factory()()
    await using _ = session
    session.add(build(User, { name: 'ed', posts: [new Post({ title: 'a' })] }))
    await session.commit()
    const ed = await session.getOne(User, 'ed', { load: ['posts'] })
    await session
      .beginNested(async () => {
        ed.name = 'edward'
        await session.flush()
        expect(ed.posts[0]?.userName).toBe('edward')
        throw new Error('undo')
      })
      .catch(() => undefined)
    expect(await session.get(User, 'ed')).toBe(ed)
    const [post] = await session.scalars(select(Post))
    expect(post?.userName).toBe('ed')
    await session.commit()
  })

  test('a unique violation inside a savepoint leaves the rest of the session as it was (test_savepoint_rollback)', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const ed = new User({ name: 'ed' })
      session.add(ed)
      await session.flush()
      const twin = new User({ name: 'ed2' })
      const error = await errorOf(
        session.beginNested(async () => {
          session.add(twin)
          await session.execute(sql`insert into users (name) values ('ed')`)
        }),
      )
      expect(error).toBeInstanceOf(UniqueViolationError)
      expect([statusOf(ed), statusOf(twin)]).toEqual(['persistent', 'transient'])
      ed.note = 'kept'
    })
    expect(await all('users')).toMatchObject([{ name: 'ed', note: 'kept' }])
  })

  test('a bulk update inside a savepoint is undone in objects that its rows came into (test_update_returning)', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const ed = new User({ name: 'ed', note: 'a' })
      session.add(ed)
      await session.flush()
      await session
        .beginNested(async () => {
          await session.scalars(update(User).set({ note: 'b' }).where(eq(User.c.name, 'ed')).returning())
          expect(ed.note).toBe('b')
          throw new Error('undo')
        })
        .catch(() => undefined)
      await session.refresh(ed)
      expect(ed.note).toBe('a')
      ed.note = 'b'
    })
    expect(await all('users')).toMatchObject([{ note: 'b' }])
  })

  test('nothing is sent for a session that only holds what it has read (test_no_sql_on_empty_commit)', async () => {
    const session = fixture.factory()()
    await using _ = session
    session.add(new User({ name: 'ed' }))
    await session.commit()
    await session.getOne(User, 'ed')
    await session.commit()
    expect(await textsOf(async () => session.commit())).toEqual([])
  })
})
