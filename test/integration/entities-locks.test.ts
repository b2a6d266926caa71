/**
 * The order in which a flush locks rows: that of the tables and of the keys, whatever plan PostgreSQL makes. Seen by holding one row
 * from outside, and looking at what the flush has locked when it waits for that.
 */
import { beforeEach, describe, expect, test } from 'vitest'
import {
  belongsTo,
  declarativeBase,
  hasMany,
  inArray,
  integer,
  manyToMany,
  select,
  text,
  version,
  type Session,
} from '../../src/index.js'
import { waitUntil } from '../helpers/wait-until.js'
import { textsOf, useEntities } from './entities-support.js'

const Base = declarativeBase()
/** Declared before what comes before it in the order of names, and of references. */
class Zone extends Base.entity('zones', { id: integer().primaryKey(), name: text() }) {}
class Account extends Base.entity('accounts', {
  id: integer().primaryKey(),
  zoneId: integer('zone_id').references('zones.id'),
  code: integer().unique(),
  balance: integer().notNull().default(0),
  label: text(),
  version: version(),
}) {
  static readonly relations = {
    zone: belongsTo(() => Zone, 'zoneId'),
    tags: manyToMany(() => Tag, 'account_tags'),
  }
}
class Tag extends Base.entity('tags', { id: integer().primaryKey(), name: text() }) {}
Base.entity('account_tags', {
  accountId: integer('account_id').primaryKey().references('accounts.id'),
  tagId: integer('tag_id').primaryKey().references('tags.id'),
})

/** A tree whose rows go with their parent, each with leaves that go with it. */
class Branch extends Base.entity('branches', {
  id: integer().primaryKey(),
  parentId: integer('parent_id').references('branches.id'),
  name: text(),
}) {
  static readonly relations = {
    branches: hasMany(() => Branch, 'parentId', { cascade: ['add', 'delete'] }),
    leaves: hasMany(() => Leaf, 'branchId', { cascade: ['add', 'delete'] }),
  }
}
class Leaf extends Base.entity('leaves', {
  id: integer().primaryKey(),
  branchId: integer('branch_id').references('branches.id'),
}) {
  static readonly relations = { drops: hasMany(() => Drop, 'leafId', { cascade: ['add', 'delete'] }) }
}
class Drop extends Base.entity('drops', {
  id: integer().primaryKey(),
  leafId: integer('leaf_id').references('leaves.id'),
}) {}

const fixture = useEntities(Base)

async function fill(rows: number, analysed: boolean): Promise<void> {
  // Stored in another order than that of the keys.
  await fixture.db.query(`
    insert into zones select g from generate_series(5, 1, -1) g;
    insert into tags select g from generate_series(5, 1, -1) g;
    insert into accounts (id, zone_id, code, balance, version) select g, 1 + g % 5, g, 0, 1 from generate_series(${rows}, 1, -1) g;
    insert into account_tags select id, 1 + id % 5 from accounts where id <= 50`)
  if (analysed)
    for (const name of ['zones', 'accounts', 'tags', 'account_tags'])
      await fixture.db.query(`analyze ${name}`)
}

/** The rows of the tables that are locked while a flush waits for a row that another transaction holds. */
async function lockedWhileWaiting(
  work: (session: Session) => unknown,
  held: string,
  tables: readonly string[],
  strength = 'update',
): Promise<number[][]> {
  await using holder = await fixture.engine().connect()
  const session = fixture.factory({}, { autoflush: false })()
  await work(session)
  await holder.execute(`${held} for update`)
  const flushed = session.flush()
  flushed.catch(() => undefined)
  await waitUntil(async () => {
    const [waiting] = await fixture.db.query(
      `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    return waiting !== undefined
  })
  const locked: number[][] = []
  for (const table of tables) {
    const [key] = await fixture.db.query<{ name: string }>(
      `select attname as name from pg_attribute where attrelid = '${table}'::regclass and attnum = 1`,
    )
    const ids = async (lock: string) => {
      const rows = await fixture.db.query<Record<string, number>>(
        `select "${key?.name}" as id from ${table} ${lock}`,
      )
      return rows.map(({ id }) => id as number)
    }
    const free = new Set(await ids(`for ${strength} skip locked`))
    locked.push((await ids('')).filter((id) => !free.has(id)).sort((x, y) => x - y))
  }
  await holder.rollback()
  await flushed
  await session.close()
  return locked
}

/** Some of the rows, in no particular order. */
async function accounts(session: Session, ids: readonly number[]): Promise<Account[]> {
  const found = await session.scalars(select(Account).where(inArray(Account.c.id, ids)))
  return found.sort((a, b) => ((a.id * 7919) % 13) - ((b.id * 7919) % 13))
}

describe.each([
  [5, false],
  [5, true],
  [50, false],
  [50, true],
  [5000, false],
  [5000, true],
])('of %i rows (analysed: %s), a flush locks by key', (rows, analysed) => {
  const step = Math.max(1, Math.floor(rows / 20))
  const ids = Array.from({ length: Math.ceil(rows / step) }, (_, index) => 1 + index * step)
  const held = ids[Math.floor(ids.length / 2)] as number
  const expected = ids.filter((id) => id <= held)
  beforeEach(() => fill(rows, analysed))

  test.each<[string, (account: Account, session: Session) => void]>([
    ['changes of one column', (account) => account.balance++],
    [
      'changes of different columns',
      (account) => {
        if (account.id % 3 > 0) account.balance++
        if (account.id % 3 < 2) account.label = 'x'
      },
    ],
    ['changes of a unique column', (account) => (account.code = -account.id)],
    ['unique values that move along', (account) => (account.code = (account.code ?? 0) + step)],
    [
      'changes and deletes',
      (account, session) => {
        if (account.id % 2 > 0) session.delete(account)
        else account.balance++
      },
    ],
    ['deletes', (account, session) => session.delete(account)],
  ])('%s', async (_, change) => {
    await fixture.db.query('delete from account_tags')
    const locked = await lockedWhileWaiting(
      async (session) => {
        for (const account of await accounts(session, ids)) change(account, session)
      },
      `select from accounts where id = ${held}`,
      ['accounts'],
    )
    expect(locked).toEqual([expected])
  })
})

describe('a flush of several tables locks those first that others refer to', () => {
  beforeEach(() => fill(50, true))

  test('also where their rows are deleted, which goes the other way round', async () => {
    const locked = await lockedWhileWaiting(
      async (session) => {
        for (const account of await accounts(session, [6, 11])) session.delete(account)
        const zone = await session.getOne(Zone, 2)
        zone.name = 'x'
      },
      'select from zones where id = 2',
      ['zones', 'accounts'],
    )
    expect(locked).toEqual([[2], []])
  })

  test('and rows of the join table last', async () => {
    const locked = await lockedWhileWaiting(
      async (session) => {
        const account = await session.getOne(Account, 7, { load: ['tags'] })
        account.tags = []
        account.balance++
      },
      'select from accounts where id = 7',
      ['accounts', 'account_tags'],
    )
    expect(locked).toEqual([[7], []])
  })
})

describe('a delete that takes along what is not loaded locks in the same order', () => {
  beforeEach(() =>
    fixture.db.query(`
      insert into branches values (4, null), (1, 4), (3, 4), (2, 3), (5, 2);
      insert into leaves select id, id from branches;
      insert into drops select id, id from leaves`),
  )

  test('the rows of a tree by their keys, and not level by level', async () => {
    const locked = await lockedWhileWaiting(
      async (session) => session.delete(await session.getOne(Branch, 4)),
      'select from branches where id = 2',
      ['branches', 'leaves'],
    )
    expect(locked).toEqual([[1, 2], []])
  })

  test('the tables from the root on, with what else the flush changes', async () => {
    const locked = await lockedWhileWaiting(
      async (session) => {
        session.delete(await session.getOne(Branch, 5))
        ;(await session.getOne(Branch, 2)).name = 'x'
      },
      'select from branches where id = 5',
      ['branches', 'leaves'],
    )
    expect(locked).toEqual([[2, 5], []])
  })

  test('and the tree is gone, whatever was given to it meanwhile', async () => {
    const session = fixture.factory()()
    session.delete(await session.getOne(Branch, 3))
    await fixture.db.query('update branches set parent_id = 4 where id = 5')
    await session.commit()
    await session.close()
    expect(await fixture.db.query('select id from branches order by id')).toEqual([
      { id: 1 },
      { id: 4 },
      { id: 5 },
    ])
  })
})

describe('locks', () => {
  beforeEach(() => fill(50, true))
  const ids = [1, 2, 3, 4]
  const held = 'select from accounts where id = 3'

  test('let others refer to rows that keep their keys, and not to others', async () => {
    const change = (work: (account: Account, session: Session) => void) => async (session: Session) => {
      for (const account of await accounts(session, ids)) work(account, session)
    }
    await fixture.db.query('delete from account_tags')
    const referable = (work: (account: Account, session: Session) => void) =>
      lockedWhileWaiting(change(work), held, ['accounts'], 'key share')
    expect(await referable((account) => account.balance++)).toEqual([[3]])
    expect(await referable((account) => (account.code = -account.id))).toEqual([[1, 2, 3]])
    expect(await referable((account, session) => session.delete(account))).toEqual([[1, 2, 3]])
  })

  test('are taken only where there is an order to keep', async () => {
    const locks = async (work: (session: Session) => Promise<unknown>): Promise<number> => {
      const session = fixture.factory()()
      await work(session)
      const texts = await textsOf(() => session.commit())
      await session.close()
      return texts.filter((statement) => statement.includes(' for ')).length
    }
    expect(await locks(async (session) => (await session.getOne(Account, 1)).balance++)).toBe(0)
    expect(
      await locks(async (session) => {
        ;(await session.getOne(Zone, 1)).name = 'x'
        ;(await session.getOne(Account, 1)).label = 'x'
      }),
    ).toBe(0)
    expect(
      await locks(async (session) => {
        for (const account of await accounts(session, ids)) account.balance++
      }),
    ).toBe(1)
  })

  test('are those of the sort: no plan can change their order', async () => {
    const session = fixture.factory()()
    for (const account of await accounts(session, ids)) account.balance++
    const [text] = (await textsOf(() => session.commit())).filter((statement) => statement.includes(' for '))
    await session.close()
    for (const setting of ['enable_seqscan', 'enable_indexscan', 'enable_bitmapscan', 'enable_sort']) {
      const plan = await fixture.engine().begin(async (connection) => {
        await connection.execute(`set local ${setting} = off`)
        // Arrays for the columns, and the number of rows.
        const rows = await connection.execute(`explain ${text as string}`, [
          '{1,2,3}',
          '{1,2,3}',
          '{1,1,1}',
          '3',
        ])
        return rows.scalars().join('\n')
      })
      // What is under LockRows gives the rows in their order: a sort, or the index itself.
      expect(plan, setting).toMatch(/LockRows.*\n\s*->\s*(Sort|Index Scan using accounts_pkey)/)
    }
  })
})
