/** A session with the face of pg's client and pool: libraries join its transaction. */
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { Kysely, PostgresDialect } from 'kysely'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import { from } from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import { describe, expect, test } from 'vitest'
import * as lifeguard from '../../src/index.js'
import { declarativeBase, type Session } from '../../src/index.js'
import { asClient, asPool } from '../../src/integrations/pg-pool.js'
import { warningsOf } from './pg-pool-support.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table songs (id int primary key, title text not null)')

const Base = declarativeBase()
class Song extends Base.entity('songs', {
  id: lifeguard.integer().primaryKey(),
  title: lifeguard.text(),
}) {}

const songs = pgTable('songs', { id: integer().primaryKey(), title: text().notNull() })

const stored = async (): Promise<number[]> => {
  const rows = await fixture.db.query<{ id: number }>('select id from songs order by id')
  return rows.map(({ id }) => id)
}

/** A block on an empty table. */
async function inSession<Value>(work: (session: Session) => Promise<Value>): Promise<Value> {
  await fixture.db.query('truncate songs')
  return await fixture.factory().withSession(work)
}

const add = (id: number) => `insert into songs values (${id}, 'x')`

describe('a client', () => {
  test('sees what the session has not flushed yet, and is committed with it', async () => {
    await inSession(async (session) => {
      const client = asClient(session)
      expect(client).toBeInstanceOf(pg.Client)
      session.add(new Song({ id: 1, title: 'entity' }))
      expect((await client.query('select title from songs')).rows).toEqual([{ title: 'entity' }])
      await client.query('insert into songs values ($1, $2)', [2, 'pg'])
      expect(await stored()).toEqual([])
    })
    expect(await stored()).toEqual([1, 2])
  })

  test('is rolled back with the session', async () => {
    const error = await errorOf(
      inSession(async (session) => {
        await asClient(session).query(add(1))
        throw new Error('no')
      }),
    )
    expect(error.message).toBe('no')
    expect(await stored()).toEqual([])
  })

  test('BEGIN, COMMIT and ROLLBACK are savepoints; savepoints are nested in them', async () => {
    await inSession(async (session) => {
      const client = asClient(session)
      expect(await client.query('begin')).toMatchObject({ command: 'BEGIN', rowCount: null })
      await client.query(add(1))
      await client.query('savepoint "A"')
      await client.query(add(2))
      await client.query('/* trace */ rollback to savepoint "A"')
      await client.query(add(3))
      await client.query('release savepoint "A"')
      expect(await client.query('commit')).toMatchObject({ command: 'COMMIT' })
      await client.query('BEGIN')
      await client.query(add(4))
      await client.query('ROLLBACK')
      await client.query(add(5))
      expect(await stored()).toEqual([])
    })
    expect(await stored()).toEqual([1, 3, 5])
  })

  test('a failure is undone by the ROLLBACK of the library, and the session goes on', async () => {
    await inSession(async (session) => {
      const client = asClient(session)
      await client.query(add(1))
      await client.query('begin')
      const error = await errorOf(client.query(add(1)))
      expect(error).toMatchObject({ code: '23505' })
      expect(error).toBeInstanceOf(pg.DatabaseError)
      await client.query('rollback')
      await client.query(add(2))
    })
    expect(await stored()).toEqual([1, 2])
  })

  test('COMMIT after a failure that was swallowed rejects', async () => {
    await inSession(async (session) => {
      const client = asClient(session)
      await client.query('begin')
      await errorOf(client.query('selec'))
      expect(await errorOf(client.query('commit'))).toMatchObject({ code: 'TRANSACTION_ABORTED' })
      await client.query(add(1))
    })
    expect(await stored()).toEqual([1])
  })

  test('a script runs statement by statement, with its transactions', async () => {
    await inSession(async (session) => {
      const client = asClient(session)
      const script = `begin; ${add(1)}; do $$ begin perform 1; end $$; commit; -- ;\n select count(*)::int as "a;b" from songs;`
      const results = (await client.query(script)) as unknown as pg.QueryResult[]
      expect(results.map(({ command }) => command)).toEqual(['BEGIN', 'INSERT', 'DO', 'COMMIT', 'SELECT'])
      expect(results[4]?.rows).toEqual([{ 'a;b': 1 }])
    })
    expect(await stored()).toEqual([1])
  })

  test('a COMMIT or ROLLBACK without BEGIN does not end the transaction of the session', async () => {
    await inSession(async (session) => {
      const client = asClient(session)
      await client.query(add(1))
      await client.query('rollback')
      await client.query('commit')
      expect(session.inTransaction).toBe(true)
    })
    expect(await stored()).toEqual([1])
  })

  test.each(['begin', 'commit and chain', "prepare transaction 'x'"])(
    '%s inside of BEGIN is refused',
    async (text) => {
      await inSession(async (session) => {
        const client = asClient(session)
        await client.query('begin')
        expect(await errorOf(client.query(text))).toMatchObject({ code: 'ILLEGAL_STATE' })
        await client.query('rollback')
      })
    },
  )

  test('modes of BEGIN that the session does not have are refused, and others pass', async () => {
    await inSession(async (session) => {
      const client = asClient(session)
      await client.query('select 1')
      const error = await errorOf(client.query('begin isolation level serializable'))
      expect(error.message).toMatch(
        /not 'isolation level serializable'.*withSession\(work, \{ isolationLevel/,
      )
      await client.query('begin transaction read only')
      expect(await errorOf(client.query(add(1)))).toMatchObject({ code: '25006' })
      await client.query('rollback')
      await client.query(add(2))
    })
    expect(await stored()).toEqual([2])
  })

  test('a savepoint that does not exist is refused with the code of PostgreSQL', async () => {
    await inSession(async (session) => {
      expect(await errorOf(asClient(session).query('release savepoint nothing'))).toMatchObject({
        code: '3B001',
      })
    })
  })

  test('cursors and COPY run inside of the transaction', async () => {
    await inSession(async (session) => {
      const client = asClient(session)
      await client.query(add(1))
      await pipeline(Readable.from(['2\tb\n']), client.query(from('copy songs from stdin')))
      const cursor = client.query(new Cursor('select id from songs order by id'))
      expect(await cursor.read(10)).toEqual([{ id: 1 }, { id: 2 }])
      await cursor.close()
      expect(await stored()).toEqual([])
    })
    expect(await stored()).toEqual([1, 2])
  })

  test('with hidden parameters errors have the code, and no value', async () => {
    await fixture.db.query('truncate songs')
    const { withSession } = fixture.factory({ hideParameters: true })
    await withSession(async (session) => {
      const client = asClient(session)
      await client.query('begin')
      const error = await errorOf(client.query('select $1::int', ['secret']))
      expect(error.code).toBe('22P02')
      expect(JSON.stringify([error.message, { ...error }])).not.toContain('secret')
      await client.query('rollback')
    })
  })
})

describe('objects of the session', () => {
  test.each([
    [false, 'old'],
    [true, 'expired'],
  ])('that a statement may have changed expire if asked for (%s)', async (expireAfterWrites, expected) => {
    await inSession(async (session) => {
      const song = new Song({ id: 1, title: 'old' })
      session.add(song)
      await session.flush()
      await asClient(session, { expireAfterWrites }).query("update songs set title = 'new'")
      const read = (): unknown => {
        try {
          return song.title
        } catch (error) {
          return (error as { code?: string }).code === 'ATTRIBUTE_EXPIRED' ? 'expired' : String(error)
        }
      }
      expect(read()).toBe(expected)
      await session.refresh(song)
      expect(song.title).toBe('new')
    })
  })
})

describe('a pool', () => {
  test('looks like a pool of pg, and ends without the session', async () => {
    await inSession(async (session) => {
      const pool = asPool(session)
      expect(pool).toBeInstanceOf(pg.Pool)
      expect(pool.constructor.name).toBe('Pool')
      expect((await pool.query('select 1 as x')).rows).toEqual([{ x: 1 }])
      await pool.end()
      expect((await errorOf(pool.query('select 1'))).message).toContain('after calling end')
      await session.execute(add(1))
    })
    expect(await stored()).toEqual([1])
  })

  test('one client has a transaction; statements beside it are refused, since its ROLLBACK would undo them', async () => {
    await inSession(async (session) => {
      const pool = asPool(session)
      const client = await pool.connect()
      await client.query('begin')
      const error = await errorOf(pool.query(add(1)))
      expect(error).toMatchObject({ code: 'ILLEGAL_STATE' })
      expect(error.message).toContain('beside a transaction of another client')
      const other = await pool.connect()
      expect(await errorOf(other.query('begin'))).toMatchObject({ code: 'ILLEGAL_STATE' })
      other.release()
      await client.query('commit')
      client.release()
      await pool.query(add(2))
    })
    expect(await stored()).toEqual([2])
  })

  test('a client released inside of its transaction is rolled back, with a warning; a second release throws', async () => {
    const warnings = await warningsOf(() =>
      inSession(async (session) => {
        const pool = asPool(session)
        const client = await pool.connect()
        await client.query('begin')
        await client.query(add(1))
        client.release()
        expect(() => client.release()).toThrow('already been released')
        await expect
          .poll(() =>
            pool.query('select 1').then(
              () => true,
              () => false,
            ),
          )
          .toBe(true)
        await pool.query(add(2))
      }),
    )
    expect(warnings.join()).toContain('released inside of a transaction')
    expect(await stored()).toEqual([2])
  })
})

test('entities, Kysely, Drizzle and SQL share one transaction', async () => {
  await inSession(async (session) => {
    const db = drizzle(asPool(session) as never)
    const kysely = new Kysely<{ songs: { id: number; title: string } }>({
      dialect: new PostgresDialect({ pool: asPool(session) }),
    })
    session.add(new Song({ id: 1, title: 'entity' }))
    await db.insert(songs).values({ id: 2, title: 'drizzle' })
    await db.transaction(async (tx) => {
      await tx.insert(songs).values({ id: 3, title: 'nested' })
      await errorOf(
        tx.transaction(async (inner) => {
          await inner.insert(songs).values({ id: 4, title: 'undone' })
          throw new Error('undo')
        }),
      )
    })
    await kysely.insertInto('songs').values({ id: 5, title: 'kysely' }).execute()
    await errorOf(
      kysely.transaction().execute(async (trx) => {
        await trx.insertInto('songs').values({ id: 6, title: 'undone' }).execute()
        throw new Error('undo')
      }),
    )
    await session.execute(add(7))
    expect((await db.select().from(songs)).length).toBe(5)
    expect(await stored()).toEqual([])
  })
  expect(await stored()).toEqual([1, 2, 3, 5, 7])
})
