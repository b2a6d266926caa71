import { createEngine, createSessionFactory } from 'lifeguard'

const engine = createEngine({ url: process.env.DATABASE_URL, poolSize: 5, maxOverflow: 10 })
const { withSession } = createSessionFactory({ bind: engine })

// Committed on return, rolled back on throw, released always.
const id = await withSession(async (session) => {
  await session.execute('create table if not exists songs (id serial primary key, title text not null)')
  return session.scalar('insert into songs (title) values ($1) returning id', ['Help!'])
})

// Return the promise of the last statement, and COMMIT is sent with it: the whole transaction is one round trip.
const songs = await withSession((session) => session.execute('select title from songs where id = $1', [id]))
console.log(songs.one().title)

await engine.dispose()
