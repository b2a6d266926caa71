/**
 * Synchronous replication whose standby is gone: COMMIT has been written and waits. Whatever ends that wait, a failover may lose
 * the transaction, so the caller is never told that it is stored.
 */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, expect, test } from 'vitest'
import {
  AbortedError,
  CommitOutcomeUnknownError,
  createEngine,
  createSessionFactory,
  declarativeBase,
  isRetryable,
  text,
  type Session,
} from '../../src/index.js'
import { createImpatientEngine } from '../helpers/impatient-engine.js'
import { startProxy } from '../helpers/proxy.js'
import type { WireMessage } from '../helpers/wire.js'
import { waitUntil } from '../helpers/wait-until.js'
import { failureOf, useEngines, useServer } from './support.js'

const server = useServer({ settings: { synchronous_standby_names: 'nobody', synchronous_commit: 'on' } })
const engine = useEngines()

class Note extends declarativeBase().entity('standby_notes', { text: text().primaryKey() }) {}

const ADMIN = (sql: string) => `set local synchronous_commit = local; ${sql}`

/** Backends that wait for the standby. */
async function waiting(): Promise<number[]> {
  const rows = await server().query<{ pid: number }>(
    "select pid from pg_stat_activity where wait_event = 'SyncRep'",
  )
  return rows.map(({ pid }) => pid)
}

let notes = 0

/** Ways to commit one row. */
const WAYS: Readonly<Record<string, { autocommit: boolean; run(session: Session, note: string): unknown }>> =
  {
    'a block that awaits its statement': {
      autocommit: false,
      run: async (session, note) => void (await insert(session, note)),
    },
    'a block that returns its statement': { autocommit: false, run: insert },
    'commit() inside a block': {
      autocommit: false,
      run: async (session, note) => {
        await insert(session, note)
        await session.commit()
      },
    },
    'a statement in autocommit mode': { autocommit: true, run: insert },
    'DDL in autocommit mode': {
      autocommit: true,
      run: (session) => session.execute(`create table standby_ddl_${String(++notes)} ()`),
    },
    'a script in autocommit mode': {
      autocommit: true,
      run: (session, note) => session.executeScript(`insert into standby_notes values ('${note}')`),
    },
    'COPY in autocommit mode': {
      autocommit: true,
      run: async (session, note) =>
        pipeline(Readable.from([`${note}\n`]), await session.copyFrom('copy standby_notes from stdin')),
    },
    'flush() in autocommit mode': {
      autocommit: true,
      run: (session, note) => {
        session.add(new Note({ text: note }))
        return session.flush()
      },
    },
    'begin() in autocommit mode': {
      autocommit: true,
      run: (session, note) => session.begin(() => insert(session, note)),
    },
  }

function insert(session: Session, note: string): Promise<unknown> {
  return session.execute('insert into standby_notes values ($1)', [note])
}

const ENDS = ['signal', 'pg_cancel_backend', 'pg_terminate_backend', 'dispose'] as const

describe.each(Object.entries(WAYS))('%s', (_name, { autocommit, run }) => {
  test.each(ENDS)('that is ended by %s has an unknown outcome', async (end) => {
    await server().query(ADMIN('create table if not exists standby_notes (text text primary key)'))
    using proxy = await startProxy(server().url)
    const isCommit = !autocommit || _name.startsWith('begin') || _name.startsWith('flush')
    const pool = engine(
      { url: proxy.url, poolSize: 1, maxOverflow: 0 },
      isCommit && end === 'signal' ? createImpatientEngine : createEngine,
    )
    const { withSession } = createSessionFactory({ bind: pool, autocommit })
    const controller = new AbortController()
    const { signal } = controller
    const options = end === 'signal' ? { signal } : {}
    const retry = { attempts: 3, backoff: () => 0 }
    let runs = 0
    const block = async (session: Session): Promise<unknown> => {
      runs++
      return await run(session, `note ${String(++notes)}`)
    }
    // Returned as it is, where that is the way: COMMIT is sent with it.
    const told = failureOf(
      withSession(
        run === insert ? (session) => (runs++, insert(session, `note ${String(++notes)}`)) : block,
        {
          ...options,
          retry,
        },
      ),
    )
    const [pid] = await waitUntil(async () => {
      const pids = await waiting()
      return pids.length > 0 ? pids : undefined
    })
    if (end === 'signal') controller.abort()
    else if (end === 'dispose') await pool.dispose({ timeoutMillis: 50 })
    else await server().query(`select ${end}(${String(pid)})`)
    const error = await told
    expect(error).toBeInstanceOf(CommitOutcomeUnknownError)
    expect(isRetryable(error)).toBe(false)
    expect(runs).toBe(1)
    if (isCommit && (end === 'signal' || end === 'dispose')) {
      expect(proxy.connections.flatMap(({ messages }) => messages).map(({ name }) => name)).not.toContain(
        'CancelRequest',
      )
      expect(await waiting()).toEqual([pid])
    }
    await server().query(
      "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'",
    )
    await waitUntil(async () => (await waiting()).length === 0)
  })
})

describe('a signal, while the answer to the statement before COMMIT is on its way', () => {
  /** The server's answer to an INSERT. */
  const isInserted = ({ name, text }: WireMessage): boolean =>
    name === 'CommandComplete' && text.startsWith('INSERT')

  test.each([
    ['of the first transaction of its engine', false, false],
    ['once the engine knows that COMMIT waits', true, false],
    ['of a read-only session that has made its transaction write', false, true],
  ])('%s: sends no cancel that could hit COMMIT', async (_when, isKnown, readOnly) => {
    await server().query(ADMIN('create table if not exists standby_notes (text text primary key)'))
    using proxy = await startProxy(server().url)
    const pool = engine({ url: proxy.url, poolSize: 1, maxOverflow: 0 })
    const { withSession } = createSessionFactory({ bind: pool })
    const settings = { synchronous_commit: 'local' }
    const known = new AbortController()
    if (isKnown)
      await withSession((session) => insert(session, `note ${String(++notes)}`), {
        settings,
        signal: known.signal,
      })
    const controller = new AbortController()
    const holding = proxy.holdAt({ from: 'server', when: 'before', message: isInserted })
    const note = `note ${String(++notes)}`
    const turned = async (session: Session): Promise<void> => {
      await session.execute('set transaction read write')
      await Promise.all([insert(session, note), session.commit()])
    }
    const block = readOnly ? turned : (session: Session) => insert(session, note)
    const told = failureOf(withSession(block, { signal: controller.signal, readOnly }))
    const held = await holding
    controller.abort()
    await waitUntil(() =>
      proxy.connections.some(({ messages }) => messages.some(({ name }) => name === 'CancelRequest')),
    )
    expect(await waiting()).toEqual([])
    held.resume()
    expect(await told).toBeInstanceOf(AbortedError)
    expect(await server().query('select 1 from standby_notes where text = $1', [note])).toEqual([])
    expect(pool.stats()).toMatchObject({ size: 1, borrowed: 0 })
  })
})
