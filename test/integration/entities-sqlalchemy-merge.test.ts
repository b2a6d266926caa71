/** SQLAlchemy's tests of expiry and merge (test_expire, test_merge), re-expressed. */
import { describe, expect, test } from 'vitest'
import { build, select, StaleDataError } from '../../src/index.js'
import { Base, Page, Post, Tag, User } from './entities-sqlalchemy-support.js'
import { statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities(Base)
const all = (table: string) => fixture.db.query(`select * from ${table} order by 1`)

describe('expiry', () => {
  test('a relation that was changed survives the expiry of columns, but not that of the object (test_relationship_changes_preserved)', async () => {
    const session = fixture.factory()()
    await using _ = session
    session.add(build(User, { name: 'ed', posts: [new Post({ title: 'a' })] }))
    await session.flush()
    const ed = await session.getOne(User, 'ed', { load: ['posts'] })
    ed.posts.push(new Post({ title: 'b' }))
    session.expire(ed, ['note'])
    await session.flush()
    expect(await all('posts')).toEqual([])
    await session.commit()
    expect(await all('posts')).toMatchObject([{ title: 'a' }, { title: 'b', user_name: 'ed' }])
    ed.posts.pop()
    session.expire(ed)
    await session.commit()
    expect(await all('posts')).toMatchObject([{ user_name: 'ed' }, { user_name: 'ed' }])
  })

  test('a value that is set after the expiry is kept by the load that follows (test_expire_preserves_changes)', async () => {
    const session = fixture.factory()()
    await using _ = session
    session.add(new User({ name: 'ed', note: 'x', bio: 'long' }))
    await session.commit()
    const ed = await session.getOne(User, 'ed')
    session.expire(ed)
    ed.note = 'mine'
    await fixture.db.query(`update users set note = 'theirs', bio = 'theirs'`)
    expect(await session.scalars(select(User).undefer('bio'))).toEqual([ed])
    expect(ed).toMatchObject({ note: 'mine', bio: 'theirs' })
    await session.commit()
    expect(await all('users')).toMatchObject([{ note: 'mine', bio: 'theirs' }])
  })

  test('refresh() of a row that is gone says so; get() lets go of the object (test_refresh_on_deleted_raises)', async () => {
    const session = fixture.factory()()
    await using _ = session
    session.add(new User({ name: 'ed' }))
    await session.commit()
    const ed = await session.getOne(User, 'ed')
    await fixture.db.query('delete from users')
    expect(await errorOf(session.refresh(ed))).toMatchObject({ code: 'NO_RESULT' })
    expect(await session.get(User, 'ed')).toBe(null)
    expect(session.contains(ed)).toBe(false)
  })

  test('an expired object whose row is gone: get() gives null, and a change of it fails (test_get_on_deleted_expunges)', async () => {
    const session = fixture.factory({}, { expireOnCommit: true })()
    await using _ = session
    const ed = new User({ name: 'ed' })
    session.add(ed)
    await session.commit()
    await fixture.db.query('delete from users')
    expect(await session.get(User, 'ed')).toBe(null)
    expect(session.contains(ed)).toBe(false)
    const again = new User({ name: 'ed', note: 'again' })
    session.add(again)
    await session.commit()
    expect(await all('users')).toMatchObject([{ note: 'again' }])
  })

  test('a pending object cannot expire (test_expired_pending)', async () => {
    const session = fixture.factory()()
    await using _ = session
    const ed = new User({ name: 'ed' })
    session.add(ed)
    expect((await errorOf(Promise.resolve().then(() => session.expire(ed)))).message).toContain('pending')
  })
})

describe('merge', () => {
  test('a new object becomes a pending one of the session, with its relations (test_transient_to_pending, test_cascades)', async () => {
    const session = fixture.factory()()
    await using _ = session
    const given = build(User, { name: 'ed', posts: [new Post({ title: 'a' })] })
    const ed = await session.merge(given)
    expect(ed).not.toBe(given)
    expect([statusOf(ed), statusOf(given)]).toEqual(['pending', 'transient'])
    await session.commit()
    expect(await all('posts')).toMatchObject([{ title: 'a', user_name: 'ed' }])
  })

  test('what the given object does not have is kept, relations included (test_merge_empty_attributes, test_unloaded)', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) =>
      session.add(build(User, { name: 'ed', note: 'n', bio: 'b', posts: [new Post({ title: 'a' })] })),
    )
    await withSession(async (session) => {
      const ed = await session.merge(new User({ name: 'ed' }))
      expect(ed.note).toBe('n')
    })
    expect([await all('users'), await all('posts')]).toMatchObject([
      [{ name: 'ed', note: 'n', bio: 'b' }],
      [{ user_name: 'ed' }],
    ])
  })

  test('an object that is twice in the graph is one object of the session (test_merge_no_duplicates)', async () => {
    const session = fixture.factory()()
    await using _ = session
    const tag = new Tag({ id: 1 })
    const given = build(User, {
      name: 'ed',
      posts: [build(Post, { title: 'a', tags: [tag] }), build(Post, { title: 'b', tags: [tag] })],
    })
    const ed = (await session.merge(given)) as User & { posts: (Post & { tags: Tag[] })[] }
    expect(ed.posts[0]?.tags[0]).toBe(ed.posts[1]?.tags[0])
    await session.commit()
    expect(await all('post_tags')).toHaveLength(2)
  })

  test('a circle of objects ends (test_self_referential, test_cycle)', async () => {
    const session = fixture.factory()()
    await using _ = session
    const [a, b] = [new Page({ id: 1, body: 'a' }), new Page({ id: 2, body: 'b' })]
    Object.assign(a, { parent: b, pages: [b] })
    Object.assign(b, { parent: a, pages: [a] })
    const merged = (await session.merge(a)) as Page & { parent: Page & { parent: Page } }
    expect(merged.parent.parent).toBe(merged)
    await session.commit()
    expect(await all('pages')).toMatchObject([{ parent_id: 2 }, { parent_id: 1 }])
  })

  test('into a session that holds the row changes the object that it holds (test_merge_persistent)', async () => {
    const session = fixture.factory()()
    await using _ = session
    session.add(build(User, { name: 'ed', posts: [new Post({ title: 'a' }), new Post({ title: 'b' })] }))
    await session.commit()
    const ed = await session.getOne(User, 'ed', { load: ['posts'] })
    const second = ed.posts[1] as Post
    const merged = await session.merge(
      build(User, { name: 'ed', note: 'new', posts: [new Post({ id: second.id, title: 'B' })] }),
    )
    expect(merged).toBe(ed)
    expect(ed.posts).toEqual([second])
    await session.commit()
    expect(await all('posts')).toMatchObject([
      { title: 'a', user_name: null },
      { title: 'B', user_name: 'ed' },
    ])
  })

  test('an object with an older version is refused before anything is written (test_merge_incorrect_version)', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => session.add(new Page({ id: 1, body: 'a' })))
    const stale = await withSession((session) => session.getOne(Page, 1))
    await withSession(async (session) => void ((await session.getOne(Page, 1)).body = 'b'))
    stale.body = 'c'
    const session = fixture.factory()()
    await using _ = session
    expect(await errorOf(session.merge(stale))).toBeInstanceOf(StaleDataError)
    expect(await all('pages')).toMatchObject([{ body: 'b', version: 2 }])
  })

  test('of a deleted object is a new row (test_merge_deleted, pending)', async () => {
    const session = fixture.factory()()
    await using _ = session
    const ed = new User({ name: 'ed', note: 'x' })
    session.add(ed)
    await session.flush()
    session.delete(ed)
    await session.flush()
    const merged = await session.merge(new User({ name: 'ed', note: 'y' }))
    await session.commit()
    expect(merged).not.toBe(ed)
    expect(await all('users')).toMatchObject([{ note: 'y' }])
  })
})
