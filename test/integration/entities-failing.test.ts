/** Flushes that fail, and the way back. */
import { describe, expect, test } from 'vitest'
import {
  AbortedError,
  InvalidValueError,
  TransactionAbortedError,
  UniqueViolationError,
  UnreadableResultError,
  boolean,
  customType,
  declarativeBase,
  serial,
  sql,
  text,
  timestamptz,
  version,
} from '../../src/index.js'
import { statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Page extends Base.entity('pages', {
  id: serial().primaryKey(),
  title: text().notNull().unique(),
  body: text().default('empty'),
  seenAt: timestamptz('seen_at'),
  version: version(),
}) {}

class Coded extends Base.entity('codeds', {
  id: serial().primaryKey(),
  code: customType<string>({
    type: 'text',
    decode: (code) => {
      if (code === 'unreadable') throw new RangeError(code)
      return code
    },
    encode: (code) => code,
  })().serverDefault(sql`'unreadable'`),
  kept: boolean().notNull().default(true),
}) {}

const fixture = useEntities(Base)
const rows = () => fixture.db.query('select title, body, version from pages order by id')

async function stored() {
  const session = fixture.factory()()
  const page = new Page({ title: 'Home' })
  session.add(page)
  await session.commit()
  return { session, page }
}

describe('a flush that PostgreSQL refuses', () => {
  test('makes new objects transient again, gives old values back, and leaves the session usable after rollback', async () => {
    const { session, page } = await stored()
    await using _ = session
    const gone = new Page({ title: 'Gone' })
    session.add(gone)
    await session.commit()
    page.body = 'changed'
    session.delete(gone)
    const [fine, double] = [new Page({ title: 'Fine' }), new Page({ title: 'Home' })]
    session.addAll([fine, double])
    const error = await errorOf(session.flush())
    expect(error).toBeInstanceOf(UniqueViolationError)
    await session.rollback()
    expect([fine, double].map((one) => [statusOf(one), one.id, one.version, one.title])).toEqual([
      ['transient', undefined, 1, 'Fine'],
      ['transient', undefined, 1, 'Home'],
    ])
    expect(statusOf(gone)).toBe('persistent')
    await session.refresh(page)
    expect([page.body, page.version]).toEqual(['empty', 1])
    session.add(fine)
    await session.commit()
    expect((await rows()).map(({ title }) => title)).toEqual(['Home', 'Gone', 'Fine'])
  })

  test('is told again and again, until the rollback', async () => {
    const { session } = await stored()
    await using _ = session
    session.add(new Page({ title: 'Home' }))
    const first = await errorOf(session.commit())
    expect(first).toBeInstanceOf(UniqueViolationError)
    for (let time = 0; time < 5; time++) {
      const error = await errorOf(time % 2 === 0 ? session.commit() : session.execute('select 1'))
      expect(error).toBeInstanceOf(TransactionAbortedError)
      expect(error.cause).toBe(first)
    }
    await session.rollback()
    expect(await session.scalar('select count(*)::int from pages')).toBe(1)
  })

  test('has the error of the driver as its cause, also where more than one call tells of it', async () => {
    const { session } = await stored()
    await using _ = session
    for (const end of [() => session.flush(), () => session.commit(), () => session.scalar('select 1')]) {
      session.add(new Page({ title: 'Home' }))
      const error = await errorOf(end())
      expect(error).toBeInstanceOf(UniqueViolationError)
      expect((error.cause as Error).constructor.name).toBe('DatabaseError')
      expect((error.cause as Error).cause).toBeUndefined()
      await session.rollback()
    }
  })

  test('takes with it what is added, changed and deleted before the rollback', async () => {
    const { session, page } = await stored()
    await using _ = session
    session.add(new Page({ title: 'Home' }))
    await errorOf(session.flush())
    const late = new Page({ title: 'Late' })
    session.add(late)
    session.delete(page)
    expect(await errorOf(session.flush())).toBeInstanceOf(TransactionAbortedError)
    await session.rollback()
    expect([statusOf(late), statusOf(page), session.new, session.deleted]).toEqual([
      'transient',
      'persistent',
      [],
      [],
    ])
    await session.commit()
    expect(await rows()).toEqual([{ title: 'Home', body: 'empty', version: 1 }])
  })

  test('inside a savepoint undoes only what happened in it', async () => {
    const { session, page } = await stored()
    await using _ = session
    const kept = new Page({ title: 'Kept' })
    session.add(kept)
    page.body = 'kept'
    const double = new Page({ title: 'Kept' })
    const error = await errorOf(
      session.beginNested(() => {
        session.add(double)
        page.title = 'not kept'
      }),
    )
    expect(error).toBeInstanceOf(UniqueViolationError)
    expect([statusOf(double), statusOf(kept)]).toEqual(['transient', 'persistent'])
    await session.commit()
    expect(await rows()).toEqual([
      { title: 'Home', body: 'kept', version: 2 },
      { title: 'Kept', body: 'empty', version: 1 },
    ])
  })

  test('before a query is told once, also where it fails before the query was given', async () => {
    const factory = fixture.factory()
    await using session = factory()
    const stop = factory.on('beforeFlush', () => {
      throw new RangeError('no')
    })
    session.add(new Page({ title: 'Joni' }))
    expect(await errorOf(session.scalar('select 1'))).toBeInstanceOf(RangeError)
    stop()
    session.add(new Page({ title: 'Joni' }))
    expect(await errorOf(session.scalar('select 1', { signal: AbortSignal.abort() }))).toBeInstanceOf(
      AbortedError,
    )
    // The leak guard finds promises that were rejected unheard.
  })

  test('is not hidden by the statement that caused it: the error says that it was an autoflush', async () => {
    const { session } = await stored()
    await using _ = session
    session.add(new Page({ title: 'Home' }))
    const error = await errorOf(session.scalar('select 1'))
    expect(error).toBeInstanceOf(UniqueViolationError)
    expect(error.message).toMatch(/duplicate key.*autoflush/)
    await session.rollback()
    session.add(new Page({ title: 'Home' }))
    const refused = await errorOf(session.get(Page, 99))
    expect(refused).toBeInstanceOf(UniqueViolationError)
    expect(refused.message).toContain('autoflush')
  })
})

describe('a flush that cannot be written', () => {
  test.each<[string, (page: Page) => void, new (message: string) => Error]>([
    ['a value of a wrong type', (page) => (page.body = 7 as never), InvalidValueError],
    ['no value', (page) => (page.title = undefined as never), InvalidValueError],
    ['NULL where there must be a value', (page) => (page.title = null as never), InvalidValueError],
    ['a NUL character', (page) => (page.body = 'a\0b'), InvalidValueError],
  ])('because of %s sends nothing, and goes on once it is mended', async (_name, spoil, type) => {
    const { session, page } = await stored()
    await using _ = session
    spoil(page)
    const other = new Page({ title: 'Other' })
    session.add(other)
    expect(await errorOf(session.flush())).toBeInstanceOf(type)
    expect([session.inTransaction, statusOf(other), other.id]).toEqual([false, 'pending', undefined])
    expect(await errorOf(session.commit())).toBeInstanceOf(type)
    page.title = 'Home'
    page.body = 'mended'
    await session.commit()
    expect((await rows()).map(({ title, body }) => [title, body])).toEqual([
      ['Home', 'mended'],
      ['Other', 'empty'],
    ])
  })

  test('counts as a change', async () => {
    const { session, page } = await stored()
    await using _ = session
    page.seenAt = new Date(NaN)
    expect([session.isModified(page), session.dirty]).toEqual([true, [page]])
    expect(await errorOf(session.flush())).toBeInstanceOf(InvalidValueError)
  })

  test('is reverted by rollback, in a savepoint as well', async () => {
    const { session, page } = await stored()
    await using _ = session
    page.body = 7 as never
    await session.rollback()
    await session.refresh(page)
    expect(page.body).toBe('empty')
    const spoiling = session.beginNested(() => {
      page.body = 7 as never
    })
    expect(await errorOf(spoiling)).toBeInstanceOf(InvalidValueError)
    await session.refresh(page)
    expect(page.body).toBe('empty')
  })
})

describe('a flush that PostgreSQL has run, with an answer that cannot be taken over,', () => {
  test('does not make the commit in its batch look like a failure', async () => {
    await using session = fixture.factory()()
    const coded = new Coded()
    let committed = 0
    session.afterCommit(() => void committed++)
    session.add(coded)
    const error = await errorOf(session.commit())
    expect(error).toBeInstanceOf(UnreadableResultError)
    expect(error.cause).toBeInstanceOf(InvalidValueError)
    await session.rollback()
    expect([committed, statusOf(coded)]).toEqual([1, 'persistent'])
    expect(await fixture.db.query('select code from codeds')).toEqual([{ code: 'unreadable' }])
  })
})
