/** Sessions that change and delete the same rows at once, on tables for which PostgreSQL chooses different plans: none deadlocks. */
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  declarativeBase,
  DeadlockError,
  inArray,
  integer,
  select,
  StaleDataError,
  text,
  type Session,
} from '../../src/index.js'
import { useEntities } from '../integration/entities-support.js'

const Base = declarativeBase()
class Owner extends Base.entity('owners', {
  id: integer().primaryKey(),
  name: text(),
  n: integer().notNull().default(0),
}) {}
class Account extends Base.entity('accounts', {
  id: integer().primaryKey(),
  ownerId: integer('owner_id').references('owners.id'),
  a: integer().notNull().default(0),
  b: integer().notNull().default(0),
}) {
  static readonly relations = { owner: belongsTo(() => Owner, 'ownerId') }
}

const fixture = useEntities(Base)
const SESSIONS = 4
const ROUNDS = 25

function someOf(rows: number): number[] {
  const wanted = Math.min(rows, 12)
  return [...new Set(Array.from({ length: wanted }, () => 1 + Math.floor(Math.random() * rows)))]
}

/** Rows that several sessions choose again and again, in another order each time. */
async function load(session: Session, ids: readonly number[]): Promise<Account[]> {
  const accounts = await session.scalars(select(Account).where(inArray(Account.c.id, ids)))
  return accounts.sort(() => Math.random() - 0.5)
}

const works: readonly (readonly [string, (session: Session, ids: readonly number[]) => Promise<void>])[] = [
  [
    'change one column',
    async (session, ids) => {
      for (const account of await load(session, ids)) account.a++
    },
  ],
  [
    'change different columns, and rows of another table',
    async (session, ids) => {
      for (const account of await load(session, ids)) {
        if (Math.random() < 0.6) account.a++
        if (Math.random() < 0.6) account.b++
      }
      for (const owner of await session.scalars(select(Owner).where(inArray(Owner.c.id, [1, 2, 3]))))
        owner.n++
    },
  ],
  [
    'delete some, change others, and delete what these belonged to',
    async (session, ids) => {
      for (const [index, account] of (await load(session, ids)).entries()) {
        if (index % 3 === 0) session.delete(account)
        else account.b++
      }
      const id = 4 + Math.floor(Math.random() * 3)
      const owner = await session.get(Owner, id)
      if (owner !== null) owner.name = `${Math.random()}`
    },
  ],
]

describe.each([
  [5, true],
  [50, true],
  [5000, true],
  [50, false],
])('%i rows (analysed: %s)', (rows, analysed) => {
  test.each(works)('%s', { timeout: 60_000 }, async (_, work) => {
    await fixture.db.query(`
      insert into owners (id, n) select g, 0 from generate_series(6, 1, -1) g;
      insert into accounts (id, a, b) select g, 0, 0 from generate_series(${rows}, 1, -1) g`)
    if (analysed) for (const name of ['owners', 'accounts']) await fixture.db.query(`analyze ${name}`)
    const { withSession } = fixture.factory()
    // All of them meet in a few rows.
    const hot = rows > 50 ? someOf(rows) : Array.from({ length: rows }, (_, index) => index + 1)
    const outcomes = { stored: 0, deadlocks: 0, stale: 0 }
    await Promise.all(
      Array.from({ length: SESSIONS }, async () => {
        for (let round = 0; round < ROUNDS; round++) {
          const ids = hot.filter(() => Math.random() < 0.7)
          try {
            await withSession(async (session) => {
              await work(session, ids)
              await session.flush()
              // Whatever else the transaction does: its locks are held for a while.
              await session.execute('select 1')
            })
            outcomes.stored++
          } catch (error) {
            if (error instanceof DeadlockError) outcomes.deadlocks++
            // Another worker has deleted what was to be changed.
            else if (error instanceof StaleDataError) outcomes.stale++
            else throw error
          }
        }
      }),
    )
    expect(outcomes.deadlocks).toBe(0)
    expect(outcomes.stored).toBeGreaterThan(0)
  })
})
