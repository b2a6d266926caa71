/** Kysely on a session: one transaction with its entities and statements. */
import { sql, type Kysely } from 'kysely'
import { beforeEach, describe, expect, test } from 'vitest'
import { UniqueViolationError } from '../../src/database-errors.js'
import {
  IllegalStateError,
  InvalidOptionError,
  SessionClosedError,
  TransactionAbortedError,
} from '../../src/errors.js'
import { declarativeBase, integer, serial, text } from '../../src/index.js'
import type { Session } from '../../src/session/session.js'
import { kyselyOn, SONGS, type Tables } from './kysely-support.js'
import { errorOf, gate, useDatabase } from './session-support.js'

const fixture = useDatabase(SONGS)

class Song extends declarativeBase().entity('songs', {
  id: serial('id').primaryKey(),
  title: text('title').notNull(),
  plays: integer('plays'),
}) {}

beforeEach(() => fixture.db.query('truncate songs restart identity'))

async function titles(): Promise<string[]> {
  const rows = await fixture.db.query<{ title: string }>('select title from songs order by id')
  return rows.map(({ title }) => title)
}

const add = (db: Kysely<Tables>, title: string) => db.insertInto('songs').values({ title }).execute()
const all = async (db: Kysely<Tables>): Promise<string[]> =>
  (await db.selectFrom('songs').select('title').orderBy('id').execute()).map(({ title }) => title)

const inSession = <Value>(work: (session: Session, db: Kysely<Tables>) => Promise<Value>): Promise<Value> =>
  fixture.factory().withSession((session) => work(session, kyselyOn(session)))

describe('queries', () => {
  test('are part of the transaction of the session: stored with it, or undone with it', async () => {
    await inSession(async (session, db) => {
      await session.execute("insert into songs (title) values ('statement')")
      await add(db, 'kysely')
      expect(await session.scalars('select title from songs order by id')).toEqual(['statement', 'kysely'])
    })
    await errorOf(
      inSession(async (_session, db) => {
        await add(db, 'undone')
        throw new Error('no')
      }),
    )
    expect(await titles()).toEqual(['statement', 'kysely'])
  })

  test('see entities that were added or changed, because these are flushed before', async () => {
    await inSession(async (session, db) => {
      const song = new Song({ title: 'new' })
      session.add(song)
      expect(await all(db)).toEqual(['new'])
      song.title = 'changed'
      expect(await all(db)).toEqual(['changed'])
      for await (const row of db.selectFrom('songs').select('id').stream(1)) expect(row.id).toBe(song.id)
    })
  })

  test('are not preceded by a flush without autoflush', async () => {
    await fixture.factory({}, { autoflush: false }).withSession(async (session) => {
      session.add(new Song({ title: 'new' }))
      expect(await all(kyselyOn(session))).toEqual([])
    })
  })

  test('whose await is missing fail the block', async () => {
    const error = await errorOf(
      inSession(async (_session, db) => {
        const late = add(db, 'late')
        late.catch(() => undefined)
        // Kysely has passed the query on.
        await new Promise((resolve) => process.nextTick(resolve))
      }),
    )
    expect(error.name).toBe('UnawaitedStatementError')
    expect(await titles()).toEqual([])
  })

  test('of a closed session are refused', async () => {
    const db = await inSession((_session, db) => Promise.resolve(db))
    expect(await errorOf(add(db, 'late'))).toBeInstanceOf(SessionClosedError)
  })

  test('run on a connection of the engine as well', async () => {
    await fixture.engine().begin(async (connection) => {
      await add(kyselyOn(connection), 'a')
      await connection.execute("insert into songs (title) values ('b')")
    })
    expect(await titles()).toEqual(['a', 'b'])
  })
})

describe('transactions', () => {
  test('are savepoints: a failure inside undoes only their own work', async () => {
    await inSession(async (_session, db) => {
      await add(db, 'a')
      const error = await errorOf(db.transaction().execute((trx) => add(trx, 'b').then(() => add(trx, 'a'))))
      expect(error).toBeInstanceOf(UniqueViolationError)
      expect(error).toMatchObject({ code: '23505' })
      await db.transaction().execute((trx) => add(trx, 'c'))
    })
    expect(await titles()).toEqual(['a', 'c'])
  })

  test('that commit are undone with the session', async () => {
    await errorOf(
      inSession(async (_session, db) => {
        await db.transaction().execute((trx) => add(trx, 'a'))
        throw new Error('no')
      }),
    )
    expect(await titles()).toEqual([])
  })

  test('undo the objects that were changed in them', async () => {
    await inSession(async (session, db) => {
      const kept = new Song({ title: 'kept' })
      session.add(kept)
      const song = new Song({ title: 'undone' })
      await errorOf(
        db.transaction().execute(async (trx) => {
          session.add(song)
          expect(await all(trx)).toEqual(['kept', 'undone'])
          throw new Error('no')
        }),
      )
      expect(await all(db)).toEqual(['kept'])
      expect(session.contains(song)).toBe(false)
    })
    expect(await titles()).toEqual(['kept'])
  })

  test('that are controlled have savepoints of their own', async () => {
    await inSession(async (_session, db) => {
      const trx = await db.startTransaction().execute()
      await add(trx, 'a')
      const inside = await trx.savepoint('one').execute()
      await add(inside, 'b')
      await inside.rollbackToSavepoint('one').execute()
      await trx.commit().execute()
      await add(db, 'c')
    })
    expect(await titles()).toEqual(['a', 'c'])
  })

  test('stand one beside the other only with an error, so that no rollback undoes more than its own', async () => {
    await inSession(async (_session, db) => {
      const [begun, go] = [gate(), gate()]
      const first = db.transaction().execute(async (trx) => {
        await add(trx, 'a')
        begun.open()
        await go.opened
        throw new Error('no')
      })
      await begun.opened
      const errors = [
        await errorOf(db.transaction().execute((trx) => add(trx, 'b'))),
        await errorOf(add(db, 'c')),
      ]
      go.open()
      expect((await errorOf(first)).message).toBe('no')
      for (const error of errors) {
        expect(error).toBeInstanceOf(IllegalStateError)
        expect(error.message).toContain('trx')
      }
      await add(db, 'd')
    })
    expect(await titles()).toEqual(['d'])
  })

  test('have the modes of the session, or are refused', async () => {
    const factory = fixture.factory()
    const strict = (db: Kysely<Tables>) => db.transaction().setIsolationLevel('serializable')
    await factory.withSession(
      async (session) => {
        const db = kyselyOn(session)
        await all(db)
        await strict(db).execute((trx) => add(trx, 'a'))
        const readOnly = db.transaction().setAccessMode('read only')
        expect(await errorOf(readOnly.execute((trx) => add(trx, 'b')))).toMatchObject({ code: '25006' })
        await add(db, 'c')
      },
      { isolationLevel: 'SERIALIZABLE' },
    )
    await factory.withSession(async (session) => {
      const db = kyselyOn(session)
      const error = await errorOf(strict(db).execute((trx) => add(trx, 'd')))
      expect(error).toBeInstanceOf(IllegalStateError)
      expect(error.message).toContain('isolationLevel')
      await add(db, 'e')
    })
    expect(await titles()).toEqual(['a', 'c', 'e'])
  })

  test('cannot be begun in autocommit mode outside of begin()', async () => {
    await using session = fixture.factory({}, { autocommit: true })()
    const db = kyselyOn(session)
    expect(await errorOf(db.transaction().execute((trx) => add(trx, 'a')))).toBeInstanceOf(InvalidOptionError)
    await add(db, 'b')
    await session.begin(() => db.transaction().execute((trx) => add(trx, 'c')))
    expect(await titles()).toEqual(['b', 'c'])
  })

  test('cannot be committed once the session has committed', async () => {
    await using session = fixture.factory()()
    const db = kyselyOn(session)
    const error = await errorOf(
      db.transaction().execute(async (trx) => {
        await add(trx, 'a')
        await session.commit()
      }),
    )
    expect(error).toBeInstanceOf(IllegalStateError)
    expect(await titles()).toEqual(['a'])
  })
})

test('an error that was caught inside, and is not passed on, fails the transaction of Kysely and not the session', async () => {
  await inSession(async (_session, db) => {
    await add(db, 'a')
    const error = await errorOf(
      db.transaction().execute(async (trx) => {
        await errorOf(add(trx, 'a'))
      }),
    )
    expect(error).toBeInstanceOf(TransactionAbortedError)
    await add(db, 'b')
  })
  expect(await titles()).toEqual(['a', 'b'])
})

test('destroy() leaves the session open', async () => {
  await inSession(async (session, db) => {
    await add(db, 'a')
    await db.destroy()
    expect(await session.scalar(sql`select 1`.compile(kyselyOn(session)))).toBe(1)
  })
})
