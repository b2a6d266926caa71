/**
 * A signal fires at every moment between the answer to a COMMIT and the end of the block that waits for it: what is stored is
 * not told as aborted.
 */
import { tracingChannel } from 'node:diagnostics_channel'
import { describe, expect, test } from 'vitest'
import { declarativeBase, integer, type Session } from '../../src/index.js'
import { useDatabase } from '../integration/session-support.js'

const Base = declarativeBase()

class Mark extends Base.entity('marks', { id: integer().primaryKey() }) {}

const fixture = useDatabase('create table marks (id int primary key)')
/** More than there are steps between the answer and the end of a block. */
const STEPS = 40

async function stored(id: number): Promise<boolean> {
  return (await fixture.db.query('select 1 from marks where id = $1', [id])).length > 0
}

/** Calls back so many microtasks, or turns, after the next transaction has ended. */
function onceEnded(steps: number, turns: boolean, then: () => void): void {
  const channel = tracingChannel('lifeguard:transaction')
  const asyncEnd = (): void => {
    channel.unsubscribe(handlers)
    void (async () => {
      for (let step = 0; step < steps; step++) {
        if (turns) await new Promise<void>((resolve) => process.nextTick(resolve))
        else await Promise.resolve()
      }
      then()
    })()
  }
  const nothing = (): void => undefined
  const handlers = { start: nothing, end: nothing, asyncStart: nothing, asyncEnd, error: nothing }
  channel.subscribe(handlers)
}

describe.each([
  [
    'flush() in autocommit mode',
    true,
    async (session: Session, id: number): Promise<void> => {
      session.add(new Mark({ id }))
      await session.flush()
    },
  ],
  [
    'begin() in autocommit mode',
    true,
    (session: Session, id: number): Promise<unknown> =>
      session.begin(() => session.execute('insert into marks values ($1)', [id])),
  ],
  [
    'commit() in the block',
    false,
    async (session: Session, id: number): Promise<void> => {
      await session.execute('insert into marks values ($1)', [id])
      await session.commit()
    },
  ],
] as const)('%s', (_name, autocommit, work) => {
  test.each([false, true])('that was answered is not reported as aborted (turns: %s)', async (turns) => {
    await fixture.db.query('truncate marks')
    const sessions = fixture.factory({ poolSize: 1, maxOverflow: 0 })
    const lies: string[] = []
    for (let id = 0; id < STEPS; id++) {
      const controller = new AbortController()
      onceEnded(id, turns, () => controller.abort())
      const told = await sessions
        .withSession((session) => work(session, id), { autocommit, signal: controller.signal })
        .then(
          () => 'ok',
          (error: unknown) => (error as { code: string }).code,
        )
      if ((await stored(id)) && told === 'ABORTED') lies.push(`after ${String(id)} steps`)
    }
    expect(lies).toEqual([])
  })
})

test('an afterCommit hook that takes its time does not make a stored commit() an aborted one', async () => {
  const controller = new AbortController()
  const { withSession } = fixture.factory()
  let committed = false
  const run = withSession(
    async (session) => {
      await session.execute('insert into marks values (4711)')
      session.afterCommit(async () => {
        controller.abort()
        for (let turn = 0; turn < 10 * STEPS; turn++) await new Promise((resolve) => setImmediate(resolve))
      })
      await session.commit()
      committed = true
      return 'told'
    },
    { signal: controller.signal },
  )
  expect(await run).toBe('told')
  expect(committed).toBe(true)
  expect(await stored(4711)).toBe(true)
})
