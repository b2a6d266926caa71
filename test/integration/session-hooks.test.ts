import { expect, test } from 'vitest'
import { HookError, IllegalStateError } from '../../src/errors.js'
import type { SessionFactory } from '../../src/session/session-factory.js'
import type { SessionEvent } from '../../src/session/session-hooks.js'
import type { Session } from '../../src/session/session.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase(
  'create table notes (text text primary key)',
  'create table later (note text references notes deferrable initially deferred)',
)

const EVENTS: readonly SessionEvent[] = ['begin', 'beforeCommit', 'afterCommit', 'afterRollback']

const add = (session: Session, text: string) => session.execute('insert into notes values ($1)', [text])

async function stored(): Promise<string[]> {
  const rows = await fixture.db.query<{ text: string }>('select text from notes order by text')
  return rows.map(({ text }) => text)
}

/** A factory whose events are written down. */
async function recorded(...options: Parameters<typeof fixture.factory>): Promise<{
  sessions: SessionFactory
  events: string[]
}> {
  await fixture.db.query('truncate notes, later')
  const sessions = fixture.factory(...options)
  const events: string[] = []
  for (const event of EVENTS) sessions.on(event, () => void events.push(event))
  return { sessions, events }
}

/** Hangs a hook on each moment of the session's transaction. */
function record(session: Session, events: string[], name = 'own'): void {
  session.beforeCommit(() => void events.push(`${name} beforeCommit`))
  session.afterCommit(() => void events.push(`${name} afterCommit`))
  session.afterRollback(() => void events.push(`${name} afterRollback`))
}

/** What the process is warned of while the work runs. */
async function warningsOf(work: () => Promise<unknown>): Promise<string[]> {
  const warnings: string[] = []
  const listen = (warning: Error): void => void warnings.push(warning.message)
  process.on('warning', listen)
  try {
    await work()
    await new Promise(setImmediate)
  } finally {
    process.off('warning', listen)
  }
  return warnings
}

test('a commit: begin, beforeCommit, afterCommit; the hooks of the factory before those of the session', async () => {
  const { sessions, events } = await recorded()
  await sessions.withSession(async (session) => {
    record(session, events)
    await add(session, 'one')
    events.push('block')
  })
  expect(events).toEqual([
    'begin',
    'block',
    'beforeCommit',
    'own beforeCommit',
    'afterCommit',
    'own afterCommit',
  ])
})

test('a rollback: begin, afterRollback', async () => {
  const { sessions, events } = await recorded()
  await errorOf(
    sessions.withSession(async (session) => {
      record(session, events)
      await add(session, 'one')
      throw new Error('enough')
    }),
  )
  expect(events).toEqual(['begin', 'afterRollback', 'own afterRollback'])
})

test('a rollback in the tick of the first statement, before BEGIN was sent: begin, afterRollback', async () => {
  const { sessions, events } = await recorded()
  await using session = sessions()
  void add(session, 'one')
  await session.rollback()
  expect(events).toEqual(['begin', 'afterRollback'])
})

test('each transaction of a session has its events; those of the session itself are for one transaction', async () => {
  const { sessions, events } = await recorded()
  await using session = sessions()
  record(session, events)
  await add(session, 'one')
  await session.commit()
  await add(session, 'two')
  await session.rollback()
  await add(session, 'three')
  await session.close()
  expect(events).toEqual([
    ...['begin', 'beforeCommit', 'own beforeCommit', 'afterCommit', 'own afterCommit'],
    ...['begin', 'afterRollback'],
    ...['begin', 'afterRollback'],
  ])
})

test('commit: false is a rollback', async () => {
  const { sessions, events } = await recorded()
  await sessions.withSession((session) => add(session, 'one'), { commit: false })
  expect(events).toEqual(['begin', 'afterRollback'])
})

test('a session without statements begins nothing and rolls nothing back', async () => {
  const { sessions, events } = await recorded()
  await sessions().close()
  await errorOf(sessions.withSession(() => Promise.reject(new Error('enough'))))
  expect(events).toEqual([])
})

test('a block that commits by itself has one commit, and no rollback when it is closed', async () => {
  const { sessions, events } = await recorded()
  const session = sessions()
  await add(session, 'one')
  await session.commit()
  await session.close()
  expect(events).toEqual(['begin', 'beforeCommit', 'afterCommit'])
})

test('beforeCommit may still issue statements, and is waited for', async () => {
  const { sessions } = await recorded()
  sessions.on('beforeCommit', async (session) => {
    await new Promise(setImmediate)
    await add(session, 'audit')
  })
  await sessions.withSession((session) => add(session, 'one'))
  expect(await stored()).toEqual(['audit', 'one'])
})

test('beforeCommit prevents the commit by throwing, and its error is the one that is seen', async () => {
  const { sessions, events } = await recorded()
  const veto = new Error('not like this')
  sessions.on('beforeCommit', () => Promise.reject(veto))
  expect(await errorOf(sessions.withSession((session) => add(session, 'one')))).toBe(veto)
  expect(events).toEqual(['begin', 'beforeCommit', 'afterRollback'])
  expect(await stored()).toEqual([])

  // By hand: the transaction is still open, and may be committed after all or rolled back.
  await using session = sessions()
  await add(session, 'two')
  expect(await errorOf(session.commit())).toBe(veto)
  expect(session.inTransaction).toBe(true)
  await session.rollback()
})

test('afterCommit comes when PostgreSQL has confirmed, and the data is there', async () => {
  const { sessions } = await recorded()
  let seen: string[] = []
  sessions.on('afterCommit', async () => {
    seen = await stored()
  })
  await sessions.withSession((session) => add(session, 'one'))
  expect(seen).toEqual(['one'])
})

test('afterCommit does not come when COMMIT fails', async () => {
  const { sessions, events } = await recorded()
  await errorOf(sessions.withSession((session) => session.execute("insert into later values ('missing')")))
  await errorOf(
    sessions.withSession(async (session) => {
      await add(session, 'one')
      await add(session, 'one').catch(() => undefined)
    }),
  )
  expect(events).toEqual(['begin', 'beforeCommit', 'afterRollback', 'begin', 'beforeCommit', 'afterRollback'])
})

test('the session cannot be used in afterCommit and afterRollback; another one can', async () => {
  const { sessions } = await recorded()
  const failures: Error[] = []
  for (const event of ['afterCommit', 'afterRollback'] as const) {
    sessions.on(event, async (session) => {
      failures.push(await errorOf(session.execute('select 1')))
      await using other = fixture.factory()()
      await other.execute('select 1')
    })
  }
  await sessions.withSession((session) => add(session, 'one'))
  await errorOf(sessions.withSession((session) => add(session, 'one')))
  expect(failures).toHaveLength(2)
  for (const failure of failures) expect(failure).toBeInstanceOf(IllegalStateError)
})

test('what afterCommit throws comes as HookError after the other hooks have run, and undoes nothing', async () => {
  const { sessions, events } = await recorded()
  const reason = new Error('mail server down')
  const failure = await errorOf(
    sessions.withSession(async (session) => {
      session.afterCommit(() => Promise.reject(reason))
      record(session, events)
      await add(session, 'one')
    }),
  )
  expect(failure).toBeInstanceOf(HookError)
  expect(failure.cause).toBe(reason)
  expect(events).toEqual(['begin', 'beforeCommit', 'own beforeCommit', 'afterCommit', 'own afterCommit'])
  expect(await stored()).toEqual(['one'])
  expect(sessions.bind.stats().borrowed).toBe(0)
})

test('several hooks that throw are all reported', async () => {
  const { sessions } = await recorded()
  const failure = await errorOf(
    sessions.withSession(async (session) => {
      for (const reason of ['one', 'two']) {
        session.afterCommit(() => {
          throw new Error(reason)
        })
      }
      await add(session, 'one')
    }),
  )
  expect((failure.cause as AggregateError).errors.map((error: Error) => error.message)).toEqual([
    'one',
    'two',
  ])
})

test('what begin and afterRollback throw becomes a warning', async () => {
  const { sessions } = await recorded()
  sessions.on('begin', () => {
    throw new Error('begin hook')
  })
  sessions.on('begin', () => Promise.reject(new Error('async begin hook')))
  sessions.on('afterRollback', () => Promise.reject(new Error('rollback hook')))
  const warnings = await warningsOf(async () => {
    const failure = await errorOf(
      sessions.withSession(async (session) => {
        await add(session, 'one')
        throw new Error('the first one')
      }),
    )
    expect(failure.message).toBe('the first one')
  })
  expect(warnings).toHaveLength(3)
  for (const what of ['begin hook', 'async begin hook', 'rollback hook']) {
    expect(warnings.some((warning) => warning.includes(what))).toBe(true)
  }
})

test('on() and the methods of a session give what takes the hook off again', async () => {
  const { sessions, events } = await recorded()
  const off = sessions.on('afterCommit', () => void events.push('factory hook'))
  await sessions.withSession(async (session) => {
    session.afterCommit(() => void events.push('own hook'))()
    off()
    off()
    await add(session, 'one')
  })
  expect(events).toEqual(['begin', 'beforeCommit', 'afterCommit'])
})

test('the same hook of two sessions knows which session it is about', async () => {
  const { sessions } = await recorded()
  const seen: unknown[] = []
  sessions.on('afterCommit', ({ info }) => void seen.push(info['name']))
  for (const name of ['first', 'second']) {
    await sessions.withSession((session) => add(session, name), { info: { name } })
  }
  expect(seen).toEqual(['first', 'second'])
})

test('a read-only block with hooks waits for the answer to COMMIT', async () => {
  const { sessions, events } = await recorded()
  await sessions.withSession(
    async (session) => {
      await session.execute('select 1')
      await session.execute('select 2')
    },
    { readOnly: true },
  )
  expect(events).toEqual(['begin', 'beforeCommit', 'afterCommit'])
})

test('neither afterCommit nor afterRollback runs if the outcome is unknown', async () => {
  await fixture.db.query('truncate notes, later')
  using proxy = await startProxy(fixture.db.url)
  const sessions = fixture.factory({ url: proxy.url })
  const events: string[] = []
  for (const event of EVENTS) sessions.on(event, () => void events.push(event))
  const failure = await errorOf(
    sessions.withSession(async (session) => {
      record(session, events)
      await add(session, 'one')
      void proxy.cutAt({
        from: 'server',
        when: 'before',
        message: ({ name, text }) => name === 'CommandComplete' && text === 'COMMIT',
      })
    }),
  )
  expect(failure['code']).toBe('COMMIT_OUTCOME_UNKNOWN')
  expect(events).toEqual(['begin', 'beforeCommit', 'own beforeCommit'])
  expect(await stored()).toEqual(['one'])
})

test('by hand, too: an unknown outcome runs no hook, and rollback makes the session usable', async () => {
  await fixture.db.query('truncate notes, later')
  using proxy = await startProxy(fixture.db.url)
  const sessions = fixture.factory({ url: proxy.url })
  const events: string[] = []
  for (const event of EVENTS) sessions.on(event, () => void events.push(event))
  await using session = sessions()
  await add(session, 'one')
  void proxy.cutAt({
    from: 'server',
    when: 'before',
    message: ({ name, text }) => name === 'CommandComplete' && text === 'COMMIT',
  })
  expect((await errorOf(session.commit()))['code']).toBe('COMMIT_OUTCOME_UNKNOWN')
  await session.rollback()
  expect(events).toEqual(['begin', 'beforeCommit'])
  await add(session, 'two')
  await session.commit()
  expect(events).toEqual(['begin', 'beforeCommit', 'begin', 'beforeCommit', 'afterCommit'])
})

test('a connection that is lost before COMMIT is a rollback', async () => {
  const { sessions, events } = await recorded()
  await errorOf(
    sessions.withSession(async (session) => {
      await add(session, 'one')
      await terminate(fixture.db, (await session.scalar<number>('select pg_backend_pid()')) ?? 0)
      await waitUntil(() =>
        session.execute('select 1').then(
          () => false,
          () => true,
        ),
      )
    }),
  )
  expect(events.filter((event) => event !== 'beforeCommit')).toEqual(['begin', 'afterRollback'])
})

test('begin comes with each transaction, also where the session has begin()', async () => {
  const { sessions, events } = await recorded({}, { autocommit: true })
  await using session = sessions()
  await add(session, 'one')
  expect(events).toEqual([])
  await session.begin(() => add(session, 'two'))
  expect(events).toEqual(['begin', 'beforeCommit', 'afterCommit'])
})
