/** What the server says beside its answers: the event `notice`, and the channel of the same name. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { finished } from 'node:stream/promises'
import { afterEach, describe, expect, test } from 'vitest'
import type { NoticeEvent } from '../../src/engine/events.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { gate, useDatabase } from './session-support.js'

const fixture = useDatabase(
  'create table notes (id int primary key, text text)',
  `create function shout(text) returns text language plpgsql as
   $$ begin raise notice 'heard %', $1 using detail = 'in detail: ' || $1, hint = 'be quiet'; return $1; end $$`,
  `create function on_note() returns trigger language plpgsql as
   $$ begin raise warning 'noted %', new.id; return new; end $$`,
  'create trigger on_note after insert on notes for each row execute function on_note()',
)

const channel = 'lifeguard:notice'
const ended: (() => void)[] = []
afterEach(() => {
  for (const end of ended.splice(0)) end()
})

function noticesOf(options: Parameters<typeof fixture.engine>[0] = {}) {
  const engine = fixture.engine(options)
  const notices: NoticeEvent[] = []
  engine.on('notice', (notice) => notices.push(notice))
  const { withSession } = createSessionFactory({ bind: engine })
  return { engine, notices, withSession, messages: () => notices.map(({ message }) => message) }
}

describe('the event notice', () => {
  test('has what the server said, and where', async () => {
    const { notices, withSession } = noticesOf()
    expect(await withSession((session) => session.scalar("select shout('you')"))).toBe('you')
    expect(notices).toEqual([
      {
        connectionId: 1,
        severity: 'NOTICE',
        sqlState: '00000',
        message: 'heard you',
        detail: 'in detail: you',
        hint: 'be quiet',
        where: expect.stringContaining('function shout(text) line 1 at RAISE') as string,
        routine: 'exec_stmt_raise',
      },
    ])
  })

  test('comes before the answer to its statement', async () => {
    const { messages, withSession } = noticesOf()
    await withSession(async (session) => {
      await session.scalar('select shout($1)', ['one'])
      expect(messages()).toEqual(['heard one'])
      const failing = session.scalar("select shout('two')::int")
      await failing.catch(() => expect(messages()).toEqual(['heard one', 'heard two']))
    }).catch(() => undefined)
    expect(messages()).toEqual(['heard one', 'heard two'])
  })

  test('comes from batches, autocommit, scripts, streams and COPY', async () => {
    const { engine, messages, withSession } = noticesOf({ name: 'everywhere' })
    await withSession((session) => session.execute('insert into notes values (1), (2)'))
    await using connection = await engine.connect({ autocommit: true })
    await connection.execute("select shout('alone')")
    await connection.executeScript("select shout('script'); select shout('again')")
    await withSession(async (session) => {
      for await (const row of session.stream("select shout('streamed')")) expect(row).toBeDefined()
      const copy = await session.copyFrom('copy notes (id) from stdin')
      copy.end('3\n4\n')
      await finished(copy)
    })
    expect(messages()).toEqual([
      'noted 1',
      'noted 2',
      'heard alone',
      'heard script',
      'heard again',
      'heard streamed',
      'noted 3',
      'noted 4',
    ])
  })

  test('comes from a connection that listens', async () => {
    const { engine, notices } = noticesOf()
    const ending = new AbortController()
    const ready = gate()
    const listening = (async () => {
      for await (const { payload } of engine.listen('notices', {
        signal: ending.signal,
        onConnect: () => ready.open(),
      }))
        expect(payload).toBe('')
    })()
    await ready.opened
    ending.abort()
    await listening
    expect(notices).toEqual([])
  })

  test('that throws is a warning, and breaks nothing', async () => {
    const { engine, messages, withSession } = noticesOf()
    engine.on('notice', () => {
      throw new Error('a listener')
    })
    engine.on('notice', () => Promise.reject(new Error('another')))
    const warned = once(process, 'warning') as Promise<[Error & { code: string }]>
    await withSession(async (session) => {
      await session.execute("select shout('a')")
      await session.execute("insert into notes values (10) returning shout('b')")
    })
    expect((await warned)[0]).toMatchObject({ code: 'LIFEGUARD_LISTENER' })
    expect(messages().sort()).toEqual(['heard a', 'heard b', 'noted 10'])
    expect(
      await withSession((session) => session.scalar('select count(*)::int from notes where id = 10')),
    ).toBe(1)
  })

  test('with hideParameters shows nothing that was sent', async () => {
    const { notices, withSession } = noticesOf({ hideParameters: true })
    await withSession((session) => session.scalar('select shout($1)', ['s3cret']))
    expect(notices).toMatchObject([{ message: 'heard (hidden)', detail: undefined, hint: 'be quiet' }])
    expect(JSON.stringify(notices)).not.toContain('s3cret')
  })
})

describe('the channel lifeguard:notice', () => {
  test('has what the event has, and the name of the engine', async () => {
    const told: unknown[] = []
    const onNotice = (message: unknown): void => void told.push(message)
    subscribe(channel, onNotice)
    ended.push(() => unsubscribe(channel, onNotice))
    const { notices, withSession } = noticesOf({ name: 'songs' })
    await withSession((session) => session.execute("select shout('channel')"))
    expect(told).toEqual([{ engine: 'songs', ...notices[0] }])
  })
})
