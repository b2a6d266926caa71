/** The calls of a consistency run that only read, and know what they must see. */
import { select, type Session } from '../../src/index.js'
import type { Call } from './consistency-call.js'
import { Account, List, MONEY } from './consistency-tables.js'

function checkSum(call: Call, sum: number, how: string): void {
  call.claim(sum === MONEY, `${how} saw ${String(sum)} in all accounts`)
}

const sumOf = async (session: Session): Promise<number> =>
  (await session.scalar<number>('select sum(balance)::int from accounts')) ?? NaN

/** One statement, with which COMMIT travels. */
async function oneSum(call: Call): Promise<void> {
  checkSum(call, await call.block(sumOf, call.options({ readOnly: call.chance(0.5) })), 'a statement')
}

/** Several sessions in autocommit mode: where connections are short, their reads are sent in one batch. */
async function sumsTogether(call: Call): Promise<void> {
  const sums = await Promise.all(
    Array.from({ length: call.upTo(8) }, () => call.block(sumOf, call.options({ autocommit: true }))),
  )
  for (const sum of sums) checkSum(call, sum, 'a read of several')
}

/** Two statements that see the same. */
async function snapshot(call: Call): Promise<void> {
  const list = call.list()
  const options = call.options({ readOnly: true, isolationLevel: 'REPEATABLE READ' })
  const [rows, sum, items, again] = await call.block(async (session) => {
    const first = await session.scalars(select(Account))
    const read = await session.scalar<number[]>('select items from lists where id = $1', [list])
    const entity = await session.getOne(List, list)
    return [first, await sumOf(session), read ?? [], entity.items] as const
  }, options)
  checkSum(call, sum, 'a snapshot')
  const balances = rows.map(({ balance }) => balance)
  checkSum(
    call,
    balances.reduce((one, other) => one + other, 0),
    'entities of a snapshot',
  )
  call.claim(String(items) === String(again), `a snapshot saw ${String(items)}, then ${String(again)}`)
  call.saw(list, items)
}

async function readList(call: Call): Promise<void> {
  const list = call.list()
  const text = 'select items from lists where id = $1'
  const options = call.options(call.chance(0.3) ? { autocommit: true } : { readOnly: call.chance(0.5) })
  call.saw(list, (await call.block((session) => session.scalar<number[]>(text, [list]), options)) ?? [])
}

async function stream(call: Call): Promise<void> {
  const sum = await call.block(async (session) => {
    let total = 0
    const rows = session.stream<{ balance: number }>('select balance from accounts', {
      batchSize: call.upTo(30),
    })
    for await (const { balance } of rows) total += balance
    return total
  })
  checkSum(call, sum, 'a stream')
}

async function copyOut(call: Call): Promise<void> {
  const sum = await call.block(async (session) => {
    let lines = ''
    const rows = await session.copyTo('copy (select balance from accounts) to stdout')
    for await (const chunk of rows) lines += String(chunk)
    return lines
      .trim()
      .split('\n')
      .reduce((total, line) => total + Number(line), 0)
  })
  checkSum(call, sum, 'a COPY')
}

/** Allowed in a read-only transaction, and an effect. */
async function notifyReadOnly(call: Call): Promise<void> {
  call.notifies()
  await call.block(
    async (session) => {
      await session.execute("select pg_notify('told', $1)", [String(call.token)])
    },
    call.options({ readOnly: true }),
  )
}

export const READS: readonly (readonly [weight: number, work: (call: Call) => Promise<unknown>])[] = [
  [4, oneSum],
  [6, sumsTogether],
  [4, snapshot],
  [8, readList],
  [2, stream],
  [2, copyOut],
  [2, notifyReadOnly],
]
