import { tracingChannel } from 'node:diagnostics_channel'
import { expect, test } from 'vitest'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase()

test('lifeguard:transaction tells how each transaction ended, read-only and failed ones included', async () => {
  const outcomes: string[] = []
  const channel = tracingChannel<unknown, { outcome?: string }>('lifeguard:transaction')
  const none = () => undefined
  const subscriber = {
    start: none,
    end: none,
    error: none,
    asyncStart: none,
    asyncEnd: ({ outcome }: { outcome?: string }) => void outcomes.push(outcome ?? '-'),
  }
  const { withSession } = fixture.factory()
  channel.subscribe(subscriber)
  try {
    await withSession((session) => session.execute('select 1'))
    await withSession(async (session) => session.scalar('select 1'), { readOnly: true })
    await errorOf(withSession((session) => session.execute('select 1 / 0')))
    await withSession(() => 'nothing was asked')
  } finally {
    channel.unsubscribe(subscriber)
  }
  expect(outcomes).toEqual(['committed', 'committed', 'rolled back'])
})
