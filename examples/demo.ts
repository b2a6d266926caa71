/**
 * The main job, to watch: `npm run demo`. Starts a PostgreSQL of its own (or uses DATABASE_URL, where it works in a schema
 * of its own), ends by itself with exit code 0, and leaves nothing behind.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { createEngine, createSessionFactory, PoolTimeoutError, sql, UnawaitedStatementError } from 'lifeguard'
import { startServer } from '../test/helpers/local-server.js'

const ACCOUNTS = 10
const SESSIONS = 300
const SCHEMA = `lifeguard_demo_${process.pid}`

const started = performance.now()
await using server = process.env.DATABASE_URL === undefined ? await startServer() : undefined
const url = server?.url ?? process.env.DATABASE_URL
say(server === undefined ? 'Using DATABASE_URL' : `Started a PostgreSQL in ${millisSince(started)}`)

const serverSettings = { application_name: SCHEMA, search_path: SCHEMA }
const engine = createEngine({
  url,
  name: 'demo',
  poolSize: 5,
  maxOverflow: 10,
  connectArgs: { serverSettings },
})
const { withSession } = createSessionFactory({ bind: engine })

chapter('Before: nothing is opened until a statement needs it')
say(engine.status())
await engine.begin((connection) =>
  connection.executeScript(`
    create schema ${SCHEMA};
    create table accounts (id integer primary key, cents integer not null check (cents >= 0));
    create table payments (account integer not null references accounts, cents integer not null);
    insert into accounts select n, 10000 from generate_series(1, ${ACCOUNTS}) n`),
)

chapter(`${SESSIONS} sessions at once, on at most 15 connections; a third of them throws`)
let mostConnections = 0
engine.on('connect', () => (mostConnections = Math.max(mostConnections, engine.stats().size)))
const begun = performance.now()
const outcomes = await Promise.allSettled(
  Array.from({ length: SESSIONS }, (_, number) =>
    withSession(async (session) => {
      const account = 1 + (number % ACCOUNTS)
      await session.execute(sql`update accounts set cents = cents - 7 where id = ${account}`)
      if (number % 3 === 0) throw new Error('changed my mind')
      await session.execute(sql`insert into payments values (${account}, 7)`)
    }),
  ),
)
const committed = outcomes.filter(({ status }) => status === 'fulfilled').length
const sums = sql<{ kept: number; paid: number }>`
  select (select sum(cents) from accounts)::int as kept, (select sum(cents) from payments)::int as paid`
const { kept, paid } = (await withSession((session) => session.execute(sums), { readOnly: true })).one()
say(`${committed} committed, ${SESSIONS - committed} rolled back, in ${millisSince(begun)}`)
say(`Accounts hold ${kept} cents, ${paid} were paid: ${kept + paid}, as many as in the beginning`)
say(`Never more than ${mostConnections} connections. ${engine.status()}`)

chapter('A statement that is not awaited fails its block instead of being lost')
await withSession((session) => {
  void session.execute('update accounts set cents = 0')
}).catch((error: unknown) => {
  if (!(error instanceof UnawaitedStatementError)) throw error
  say(error.message)
})

chapter('A pool that is exhausted says who holds its connections')
const small = createEngine({
  url,
  name: 'small',
  poolSize: 1,
  maxOverflow: 0,
  connectArgs: { serverSettings },
})
await createSessionFactory({ bind: small }).withSession(async (session) => {
  await session.execute('select count(*) from accounts')
  await small.connect({ poolTimeoutMillis: 100 }).catch((error: unknown) => {
    if (!(error instanceof PoolTimeoutError)) throw error
    say(error.message)
  })
})
await small.dispose()

chapter('Connections are killed: idle ones are replaced, a transaction starts over')
const killOthers = sql`
  select count(pg_terminate_backend(pid))::int from pg_stat_activity
  where application_name = ${SCHEMA} and pid <> pg_backend_pid()`
say(`Killed ${String(await withSession((session) => session.scalar(killOthers)))} idle connections`)
// Idle connections notice by themselves; a COMMIT that travels to a dead one would have an unknown outcome.
while (engine.stats().idle > 1) await pause(1)
let runs = 0
await withSession(
  async (session) => {
    runs += 1
    await session.execute('update accounts set cents = cents + 1 where id = 1')
    if (runs === 1) await withSession((other) => other.execute(killOthers), { propagation: 'requiresNew' })
    await session.execute('update accounts set cents = cents - 1 where id = 2')
  },
  { retry: { attempts: 3 } },
)
say(`Killed a connection inside its transaction, which ran ${runs} times and was stored once`)

chapter('After: disposed, and nothing is left')
await engine.begin((connection) => connection.execute(`drop schema ${SCHEMA} cascade`))
say(engine.status())
const { closed, forced } = await engine.dispose()
say(`Closed ${closed} connections in good order, ${forced} by force`)
const check = createEngine({ url, poolSize: 1 })
const left = sql`select count(*)::int from pg_stat_activity where application_name = ${SCHEMA}`
const connection = await check.connect()
say(`The server counts ${String(await connection.scalar(left))} connections of this demo`)
await connection.close()
await check.dispose()

function chapter(title: string): void {
  console.log(`\n${title}`)
}

function say(text: string): void {
  console.log(text.replaceAll(/^/gm, '  '))
}

function millisSince(start: number): string {
  return `${Math.round(performance.now() - start)} ms`
}
