/** What a pool on an engine says of where it connects: a library may open a client of its own with that, to cancel a query. */
import pg from 'pg'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { createEngine } from '../../src/index.js'
import { poolFrom } from '../../src/integrations/pg-pool.js'
import { useDatabase } from './session-support.js'

const fixture = useDatabase('create table songs (title text)')

/** As Kysely does it: the password is not enumerable, as in pg. */
async function ownClient(options: object): Promise<unknown> {
  const client = new pg.Client({ ...options, password: (options as { password?: string }).password })
  await client.connect()
  try {
    return (await client.query<{ place: string }>('select current_database() || current_user as place'))
      .rows[0]?.place
  } finally {
    await client.end()
  }
}

test('a client that is made with its options gets to the same database, and the options show no password', async () => {
  const { username, password, hostname, port, pathname } = new URL(fixture.db.url)
  const parts = { host: hostname, port: Number(port), user: username, database: pathname.slice(1) }
  const rotating = (): Promise<string> => Promise.resolve(password)
  for (const given of [{ url: fixture.db.url }, { ...parts, password }, { ...parts, password: rotating }]) {
    const { options } = poolFrom(fixture.engine(given))
    expect(options).toMatchObject(parts)
    expect(await ownClient(options)).toBe(parts.database + username)
    expect(inspect(options) + JSON.stringify(options)).not.toContain(password)
  }
})

test('of several servers it names none, and encryption that the engine demands is demanded', () => {
  const optionsOf = (url: string): object => poolFrom(createEngine({ url })).options
  expect(optionsOf('postgres://ann@a,b:5433/songs')).toMatchObject({ host: 'a,b', user: 'ann' })
  expect(optionsOf('postgres://ann@a,b:5433/songs')).not.toHaveProperty('port')
  expect(optionsOf('postgres://ann@a/songs?sslmode=require')).toMatchObject({
    host: 'a',
    port: 5432,
    ssl: true,
  })
  expect(optionsOf('postgres://ann@a/songs?sslmode=prefer')).not.toHaveProperty('ssl')
})
