import { createEngine, createSessionFactory } from 'lifeguard'

const engine = createEngine({ url: process.env.DATABASE_URL, poolSize: 5, maxOverflow: 10 })
const { withSession } = createSessionFactory({ bind: engine })

// Committed on return, rolled back on throw, released always.
const id = await withSession(async (session) => {
  await session.execute('create table if not exists notes (id serial primary key, body text not null)')
  return session.scalar('insert into notes (body) values ($1) returning id', ['Buy strings'])
})

// Return the promise of the last statement, and COMMIT is sent with it: the whole transaction is one round trip.
const notes = await withSession((session) => session.execute('select body from notes where id = $1', [id]))
console.log(notes.one().body)

await engine.dispose()
