/** The calls of a consistency run that store something. */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { inArray, select, UniqueViolationError, type Session } from '../../src/index.js'
import { Mine, type Call } from './consistency-call.js'
import { Account, ACCOUNTS, List, Mark, Transfer } from './consistency-tables.js'

const INSERT = 'insert into marks (token, part) values ($1, $2)'
const APPEND =
  'update lists set items = items || $1::int, version = version + 1 where id = $2 returning items'

const mark = (session: Pick<Session, 'execute'>, { token }: Call, part: string): Promise<unknown> =>
  session.execute(INSERT, [token, part])

/** Gives the promise of the only statement of a block, or awaits it: with the one COMMIT travels, with the other it follows. */
function lastly<Value>(call: Call, statement: () => Promise<Value>): Promise<Value> {
  return call.chance(0.5) ? statement() : statement().then((value) => value)
}

async function append(call: Call, session: Pick<Session, 'scalar'>, list: number): Promise<void> {
  const items = (await session.scalar<number[]>(APPEND, [call.token, list])) ?? []
  call.claim(items.at(-1) === call.token, 'what was appended is not the last item')
  call.saw(list, items.slice(0, -1))
}

function route(call: Call): { source: number; target: number; amount: number } {
  const source = call.upTo(ACCOUNTS)
  const target = ((source + call.upTo(ACCOUNTS - 1) - 1) % ACCOUNTS) + 1
  return { source, target, amount: call.upTo(20) }
}

// --- transfers

async function transferByStatements(call: Call, options = call.options()): Promise<void> {
  const { source, target, amount } = route(call)
  call.stores('transfer')
  await call.block(async (session) => {
    const move = 'update accounts set balance = balance + $1, version = version + 1 where id = $2'
    const insert = 'insert into transfers (token, source, target, amount) values ($1, $2, $3, $4)'
    await session.execute(move, [-amount, source])
    await Promise.all([
      session.execute(move, [amount, target]),
      session.execute(insert, [call.token, source, target, amount]),
    ])
  }, options)
}

function transferSerializable(call: Call): Promise<void> {
  return transferByStatements(call, call.options({ isolationLevel: 'SERIALIZABLE' }))
}

/** One statement, which COMMIT rides with. */
async function transferByOneStatement(call: Call): Promise<void> {
  const { source, target, amount } = route(call)
  call.stores('transfer')
  await call.block((session) =>
    lastly(call, () =>
      session.execute(
        `with moved as (
           update accounts set version = version + 1,
             balance = balance + case id when $1::int then -$3::int else $3::int end
           where id in ($1::int, $2::int))
         insert into transfers (token, source, target, amount) values ($4, $1::int, $2::int, $3::int)`,
        [source, target, amount, call.token],
      ),
    ),
  )
}

async function transferByEntities(call: Call): Promise<void> {
  const { source, target, amount } = route(call)
  call.stores('transfer')
  await call.block(async (session) => {
    const accounts = await session.scalars(select(Account).where(inArray(Account.c.id, [source, target])))
    for (const account of accounts) account.balance += account.id === source ? -amount : amount
    session.add(new Transfer({ token: call.token, source, target, amount }))
    if (call.chance(0.3)) await session.flush()
  })
}

// --- lists

async function appendOnce(call: Call): Promise<void> {
  const list = call.list()
  call.stores(`item of list ${String(list)}`)
  if (call.chance(0.5)) return call.block((session) => append(call, session, list))
  await call.block((session) => session.execute(APPEND, [call.token, list]))
}

async function appendTwice(call: Call): Promise<void> {
  const lists = [call.list(), call.list()]
  const both = [...new Set(lists)].sort((one, other) => one - other)
  call.stores(...both.map((list) => `item of list ${String(list)}`))
  await call.block(async (session) => {
    for (const list of both) await append(call, session, list)
  })
}

async function appendByEntity(call: Call): Promise<void> {
  const list = call.list()
  call.stores(`item of list ${String(list)}`)
  await call.block(async (session) => {
    const entity = await session.getOne(List, list)
    call.saw(list, entity.items)
    entity.items = [...entity.items, call.token]
  })
}

async function appendInAutocommit(call: Call): Promise<void> {
  const list = call.list()
  call.stores(`item of list ${String(list)}`)
  const limit = call.chance(0.3) ? { timeoutMillis: call.upTo(25) } : {}
  const options = call.options({ autocommit: true })
  await call.block((session) => session.execute(APPEND, [call.token, list], limit), options)
}

// --- transactions of several rows

async function severalRows(call: Call): Promise<void> {
  call.stores('mark 1', 'mark 2', 'mark 3')
  await call.block(async (session) => {
    await mark(session, call, '1')
    await Promise.all([mark(session, call, '2'), mark(session, call, '3')])
  })
}

async function manyEntities(call: Call): Promise<void> {
  const parts = Array.from({ length: call.upTo(60) }, (_, part) => String(part))
  call.stores(...parts.map((part) => `mark ${part}`))
  await call.block(async (session) => {
    session.addAll(parts.map((part) => new Mark({ token: call.token, part })))
    await Promise.resolve()
  })
}

async function savepoints(call: Call): Promise<void> {
  call.stores('mark 1', 'mark 2', 'mark 4')
  await call.block(async (session) => {
    await mark(session, call, '1')
    await session.beginNested(async () => {
      session.add(new Mark({ token: call.token, part: '2' }))
      await session.flush()
    })
    const undone = session.beginNested(async () => {
      await mark(session, call, 'undone by a failure')
      await session.execute('insert into taken values (1)')
    })
    await undone.catch((error: unknown) => {
      if (!(error instanceof UniqueViolationError)) throw error
    })
    const thrown = session.beginNested(async () => {
      await mark(session, call, 'undone by a throw')
      throw new Mine('inside of a savepoint')
    })
    await thrown.catch((error: unknown) => {
      if (!(error instanceof Mine)) throw error
    })
    await mark(session, call, '4')
  })
}

async function copyIn(call: Call): Promise<void> {
  const parts = Array.from({ length: 8 }, (_, part) => `copied ${String(part)}`)
  const autocommit = call.chance(0.3)
  call.stores(...parts.map((part) => `mark ${part}`), ...(autocommit ? [] : ['mark 1']))
  await call.block(async (session) => {
    const lines = parts.map((part) => `${String(call.token)}\t${part}\n`)
    await pipeline(Readable.from(lines), await session.copyFrom('copy marks (token, part) from stdin'))
    if (!autocommit) await mark(session, call, '1')
  }, call.options({ autocommit }))
}

async function notify(call: Call): Promise<void> {
  call.notifies()
  call.stores('mark 1')
  await call.block(async (session) => {
    await mark(session, call, '1')
    await session.execute("select pg_notify('told', $1)", [String(call.token)])
  })
}

// --- other ways to a transaction

async function commitInTheSameTick(call: Call): Promise<void> {
  call.stores('mark 1')
  const session = call.sessions()
  const told = Promise.all([mark(session, call, '1'), session.commit()])
  await told.finally(() => session.close())
}

async function commitByHand(call: Call): Promise<void> {
  call.stores('mark 1', 'mark 2')
  const session = call.sessions(call.chance(0.5) ? { signal: call.operation.ending.signal } : {})
  try {
    await mark(session, call, '1')
    await mark(session, call, '2')
    await session.commit()
  } finally {
    await session.close()
  }
}

/** The block waits for its COMMIT itself. */
async function commitInTheBlock(call: Call): Promise<void> {
  call.stores('mark 1', 'mark 2')
  await call.block(async (session) => {
    await mark(session, call, '1')
    await mark(session, call, '2')
    await session.commit()
  })
}

async function engineBlock(call: Call): Promise<void> {
  call.stores('mark 1', 'mark 2')
  await call.engine.begin(
    async (connection) => {
      await mark(connection, call, '1')
      await mark(connection, call, '2')
    },
    { signal: call.operation.ending.signal },
  )
}

async function connectionBlock(call: Call): Promise<void> {
  call.stores('mark 1', 'mark 2')
  const connection = await call.engine.connect({ autocommit: call.chance(0.5) })
  try {
    await connection.begin(async () => {
      await mark(connection, call, '1')
      await mark(connection, call, '2')
    })
  } finally {
    await connection.close()
  }
}

async function beginInAutocommit(call: Call): Promise<void> {
  call.stores('mark 1', 'mark 2')
  const options = call.options({ autocommit: true })
  await call.block(
    (session) =>
      session.begin(async () => {
        await mark(session, call, '1')
        await mark(session, call, '2')
      }),
    options,
  )
}

async function insertInAutocommit(call: Call): Promise<void> {
  call.stores('mark 1')
  const { signal } = call.operation.ending
  const limit = call.chance(0.3) ? { timeoutMillis: call.upTo(25) } : call.chance(0.5) ? { signal } : {}
  const options = call.options({ autocommit: true })
  await call.block(
    (session) => lastly(call, () => session.execute(INSERT, [call.token, '1'], limit)),
    options,
  )
}

async function flushInAutocommit(call: Call): Promise<void> {
  call.stores('mark 1', 'mark 2')
  const options = call.options({ autocommit: true })
  await call.block((session) => {
    session.addAll(['1', '2'].map((part) => new Mark({ token: call.token, part })))
    return session.flush()
  }, options)
}

async function script(call: Call): Promise<void> {
  call.stores('mark 1', 'mark 2')
  const insert = (part: string): string =>
    `insert into marks (token, part) values (${String(call.token)}, '${part}');`
  const options = call.options({ autocommit: call.chance(0.7) })
  await call.block((session) => session.executeScript(insert('1') + insert('2')), options)
}

// --- what must not be stored

async function throws(call: Call): Promise<void> {
  await call.block(async (session) => {
    await mark(session, call, 'undone')
    session.add(new Mark({ token: call.token, part: 'undone, too' }))
    throw new Mine('the block')
  })
}

async function throwsWhileItRuns(call: Call): Promise<void> {
  await call.block(async (session) => {
    await mark(session, call, 'undone')
    const slow = session.execute(`insert into marks (token, part) select $1::int, pg_sleep(0.03)::text`, [
      call.token,
    ])
    slow.catch(() => undefined)
    throw new Mine('beside a statement')
  })
}

async function forgetsToAwait(call: Call): Promise<void> {
  await call.block(async (session) => {
    await mark(session, call, 'undone')
    mark(session, call, 'not awaited').catch(() => undefined)
  })
  call.claim(false, 'a block that did not await a statement was told as a success')
}

async function swallows(call: Call): Promise<void> {
  await call.block(async (session) => {
    await mark(session, call, 'undone')
    await session.execute('insert into taken values (1)').catch(() => undefined)
  })
  call.claim(false, 'a failure that the block caught was told as a success')
}

export const WRITES: readonly (readonly [weight: number, work: (call: Call) => Promise<unknown>])[] = [
  [6, transferByStatements],
  [3, transferSerializable],
  [6, transferByOneStatement],
  [6, transferByEntities],
  [8, appendOnce],
  [5, appendTwice],
  [6, appendByEntity],
  [6, appendInAutocommit],
  [5, severalRows],
  [3, manyEntities],
  [5, savepoints],
  [4, copyIn],
  [4, notify],
  [4, commitInTheSameTick],
  [3, commitByHand],
  [3, commitInTheBlock],
  [3, engineBlock],
  [3, connectionBlock],
  [4, beginInAutocommit],
  [6, insertInAutocommit],
  [4, flushInAutocommit],
  [3, script],
  [2, throws],
  [1, throwsWhileItRuns],
  [1, forgetsToAwait],
  [1, swallows],
]
