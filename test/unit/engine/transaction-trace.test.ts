import { expect, test } from 'vitest'
import { TransactionTrace } from '../../../src/pipeline/transaction-trace.js'
import { transactionChannel } from '../../../src/internal/channels.js'

const SOURCE = { pool: 'songs', engineId: 1 }

test('a transaction is published once from its first BEGIN to its end, with the outcome', () => {
  const seen: string[] = []
  const note = (event: string) => (message: unknown) => {
    const { connectionId, outcome } = message as { connectionId: number; outcome?: string }
    seen.push(`${event} ${String(connectionId)} ${outcome ?? '-'}`)
  }
  const subscriber = {
    start: note('start'),
    end: note('end'),
    asyncStart: note('asyncStart'),
    asyncEnd: note('asyncEnd'),
    error: note('error'),
  }
  transactionChannel.subscribe(subscriber)
  const trace = new TransactionTrace()
  trace.ended('rolled back')
  trace.began(SOURCE, 1)
  trace.began(SOURCE, 2)
  trace.ended('committed')
  trace.ended('committed')
  transactionChannel.unsubscribe(subscriber)
  trace.began(SOURCE, 3)
  expect(seen).toEqual(['start 1 -', 'end 1 -', 'asyncStart 1 committed', 'asyncEnd 1 committed'])
})
