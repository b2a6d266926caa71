/** Mistakes that PostgreSQL, or the end of a block, brings to light: the error says what happened, where, and what to do. */
import { describe, expect, test } from 'vitest'
import {
  createSessionFactory,
  declarativeBase,
  hasMany,
  integer,
  select,
  serial,
  sql,
  text,
  version,
  type Session,
} from '../../src/index.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, useDatabase } from './session-support.js'

const Base = declarativeBase()
class Person extends Base.entity('people', {
  id: serial().primaryKey(),
  email: text().notNull(),
  age: integer(),
  version: version(),
}) {}
const fixture = useDatabase(
  'create table people (id serial primary key, email text not null, age integer, version integer not null)',
  "insert into people (email, version) values ('a@b', 1)",
)

describe('a statement that shows a common mistake', () => {
  test.each<[string, (session: Session) => Promise<unknown>, string]>([
    [
      'placeholders of MySQL',
      async (session) => await session.execute('select * from people where id = ?', [1]),
      'Placeholders are $1, $2, ... (not ?)',
    ],
    [
      'a value without quotes',
      async (session) => await session.execute('select * from people where email = ann'),
      'If this is a value: give it as a parameter',
    ],
    [
      'a value in double quotes',
      async (session) => await session.execute('insert into people (email) values ("ann")'),
      'If this is a value: give it as a parameter',
    ],
    [
      'a key by name',
      async (session) => await session.get(Person, { id: 1 } as never),
      'get(Person, key) takes the value of id itself, not an object. By other columns: scalars(select(Person)',
    ],
    [
      'conditions in place of a key',
      async (session) => await session.get(Person, { where: { email: 'a' } } as never),
      'get(Person, key) takes the value of id itself, not an object',
    ],
    [
      'no key',
      async (session) => await session.get(Person, undefined as never),
      'The key of Person is undefined: get(Person, key) takes a value',
    ],
    [
      'relations by the name that TypeORM gives them',
      async (session) => await session.get(Person, 1, { relations: ['posts'] } as never),
      "get has no option 'relations'; here it is load: ['posts']",
    ],
    [
      'named parameters',
      async (session) => await session.execute('select * from people where id = :id'),
      'There are no named parameters: write $1',
    ],
    [
      'no values',
      async (session) => await session.execute('select * from people where id = $1 and age = $2', [1]),
      'Each of $1, $2, ... needs its value: execute(text, [first, second])',
    ],
    [
      'an array in brackets',
      async (session) => await session.execute(sql`select * from people where id in (${[1, 2]})`),
      'write `= any(${values})`',
    ],
    [
      'two statements',
      async (session) => await session.execute('select 1; select 2'),
      'executeScript(text) runs several',
    ],
    [
      'a table that no migration has made',
      async (session) => {
        class Missing extends declarativeBase().entity('missing', { id: serial().primaryKey() }) {}
        return await session.execute(select(Missing))
      },
      'The entity Missing declares it: has a migration not run',
    ],
    [
      'a column that no migration has made, in a flush',
      async (session) => {
        class Tall extends declarativeBase().entity('people', {
          id: serial().primaryKey(),
          height: integer(),
        }) {}
        session.add(new Tall({ height: 2 }))
        await session.flush()
      },
      'or is the search_path another one? (metadata.createAll() does not change tables that exist)',
    ],
    [
      'the key of a route',
      async (session) => await session.get(Person, '1' as never),
      'people.id takes an integer, not a string: pass Number(value)',
    ],
    [
      'a relation over a column that is not there',
      async (session) => {
        const Family = declarativeBase()
        class Kid extends Family.entity('kids', { id: serial().primaryKey(), pId: integer() }) {}
        class Parent extends Family.entity('parents', { id: serial().primaryKey() }) {
          static readonly relations = { kids: hasMany(() => Kid, 'parentId' as never) }
        }
        return await session.get(Parent, 1, { load: ['kids' as never] })
      },
      "The relation parents.kids is wrong: kids has no column 'parentId'; it has id, pId",
    ],
    [
      'a relation to a class that is not loaded yet',
      async (session) => {
        let Kid: typeof Person | undefined
        class Parent extends declarativeBase().entity('parents', { id: serial().primaryKey() }) {
          static readonly relations = { kids: hasMany(() => Kid as typeof Person, 'id') }
        }
        return await session.get(Parent, 1, { load: ['kids' as never] })
      },
      'parents.kids leads to undefined. Do the modules of its entities import each other in a circle?',
    ],
    [
      'a relation to a class whose module is not evaluated yet',
      async (session) => {
        // The compiler refuses it within one file; modules that import each other do it.
        const early = new Function(
          'const late = (() => Late)(); class Late {}; return late',
        ) as () => typeof Person
        class Parent extends declarativeBase().entity('parents', { id: serial().primaryKey() }) {
          static readonly relations = { kids: hasMany(early, 'id') }
        }
        return await session.get(Parent, 1, { load: ['kids'] })
      },
      "parents.kids leads to no entity: Cannot access 'Late' before initialization. Do the modules of its entities import each other",
    ],
    [
      'a relation to a name that is not there',
      async (session) => {
        const kids = new Function('return Kidd') as () => typeof Person
        class Parent extends declarativeBase().entity('parents', { id: serial().primaryKey() }) {
          static readonly relations = { kids: hasMany(kids, 'id') }
        }
        return await session.get(Parent, 1, { load: ['kids'] })
      },
      'leads to no entity: Kidd is not defined. Is an import missing, or a name misspelt?',
    ],
  ])('%s', async (_name, mistake, advice) => {
    const session = fixture.factory()()
    const error = await errorOf(mistake(session))
    await session.rollback()
    await session.close()
    expect(error.message).toContain(advice)
    expect(linesOf(error)[0]).toContain('mistakes-taught.test')
  })

  test.each([
    "select '?' from people where",
    'select 1 from people where a = $1 and b ?',
    "select * from people where note = 'at 10:30' and ::",
    'select /* :name ? */ from where',
  ])('no advice where it would be a guess: %s', async (text) => {
    const session = fixture.factory()()
    const error = await errorOf(session.execute(text))
    await session.rollback()
    await session.close()
    expect(error.message).toMatch(/^syntax error at (or near "[^"]+"|end of input)$/)
  })
})

test('a stale row is named', async () => {
  const { withSession } = fixture.factory()
  const error = await errorOf(
    withSession(async (session) => {
      const person = await session.getOne(Person, 1)
      await withSession(async (other) => void ((await other.getOne(Person, 1)).age = 5), {
        propagation: 'requiresNew',
      })
      person.age = 6
    }),
  )
  expect(error).toMatchObject({ code: 'STALE_DATA' })
  expect(error.message).toContain('Among: a stored Person, id 1.')
})

describe('what is used after its block', () => {
  test('a session, and a stream', async () => {
    const { withSession } = fixture.factory()
    const session = await withSession((kept) => kept)
    expect((await errorOf(session.execute('select 1'))).message).toContain(
      'The block of this session has ended',
    )
    const stream = await withSession((kept) => kept.stream('select 1 as a'))
    expect((await errorOf(stream[Symbol.asyncIterator]().next())).message).toContain(
      'read its streams, inside of the block',
    )
    const closed = fixture.factory()()
    await closed.close()
    expect((await errorOf(closed.execute('select 1'))).message).toContain('(close() was called)')
  })

  test('a statement of forEach names itself, its line, and what waits', async () => {
    const { withSession } = fixture.factory()
    const late: Promise<Error>[] = []
    await errorOf(
      withSession((session) => {
        const work = async (id: number): Promise<void> => {
          await session.execute('select 1')
          await session.execute('select $1::int as late', [id])
        }
        ;[1, 2].forEach((id) => void late.push(errorOf(work(id))))
      }),
    )
    const error = (await late[0]) as Error
    expect(error.message).toContain('forEach does not wait: use for ... of, or await Promise.all')
    expect(error.message).toContain('Not run: select $1::int as late')
    expect(linesOf(error)[0]).toContain('mistakes-taught.test')
  })
})

test('a statement that dispose() has ended names the line that called dispose()', async () => {
  const engine = fixture.engine()
  const { withSession } = createSessionFactory({ bind: engine })
  const running = errorOf(withSession((session) => session.execute('select pg_sleep(30)')))
  await waitUntil(() => engine.stats().borrowed === 1)
  await engine.dispose({ timeoutMillis: 0 })
  expect((await running).message).toMatch(/dispose\(\) was called at .*mistakes-taught\.test/)
})

test('a holder of a connection is named by its own line, without frames of the library', async () => {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
  const { withSession } = createSessionFactory({ bind: engine })
  const waiting = { propagation: 'requiresNew', poolTimeoutMillis: 30 } as const
  const { message } = await withSession(async (session) => {
    await session.execute('select 1')
    return await errorOf(withSession((other) => other.execute('select 1'), waiting))
  })
  const [, holder = ''] = message.split('acquired\n')
  expect(holder.split('\n')[0]).toContain('mistakes-taught.test')
  expect(message).not.toContain('/src/')
  expect(message).toContain('poolTimeoutMillis is in milliseconds: did you mean 30_000?')
})

/** The frames of a stack. */
function linesOf({ stack = '' }: Error): string[] {
  return stack.split('\n').filter((line) => /^\s+at /.test(line) && !line.includes('node:'))
}

test('the error of an afterCommit hook begins its stack with the line that ended the transaction', async () => {
  const { withSession } = createSessionFactory({ bind: fixture.engine() })
  try {
    await withSession(async (session) => {
      await session.execute('select 1')
      session.afterCommit(() => {
        throw new Error('no mail')
      })
    })
    expect.unreachable()
  } catch (error) {
    const { message, stack } = error as Error
    expect(message).toContain('an afterCommit hook threw')
    expect(/^\s+at .*/m.exec(stack ?? '')?.[0]).toContain('mistakes-taught.test')
  }
})
