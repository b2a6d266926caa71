/** Where the errors of a flush lead. */
import { expect, test } from 'vitest'
import { declarativeBase, select, serial, text, type Session } from '../../src/index.js'
import { errorOf, useDatabase } from './session-support.js'

const Base = declarativeBase()
class Song extends Base.entity('songs', { id: serial().primaryKey(), title: text().notNull().unique() }) {}

const fixture = useDatabase(Base.metadata.ddl())

const wrong: readonly [string, () => Song][] = [
  ['a value that cannot be written', () => new Song({ title: undefined as never })],
  ['a row that PostgreSQL refuses', () => new Song({ title: null as never })],
]
const calls: readonly [string, (work: (session: Session) => unknown) => Promise<unknown>][] = [
  ['withSession', (work) => fixture.factory().withSession(work)],
  [
    'flush',
    async function callsFlush(work): Promise<void> {
      await using session = fixture.factory()()
      work(session)
      await session.flush()
    },
  ],
  [
    'commit',
    async function callsCommit(work): Promise<void> {
      await using session = fixture.factory()()
      work(session)
      await session.commit()
    },
  ],
  [
    'a query',
    async function callsQuery(work): Promise<void> {
      await using session = fixture.factory()()
      work(session)
      await session.scalars(select(Song))
    },
  ],
]

for (const [what, make] of wrong) {
  test.each(calls)(`${what} leads to the line of %s`, async (_, call) => {
    async function theService(): Promise<void> {
      await call((session) => session.add(make()))
    }
    const error = await errorOf(theService())
    expect(error.stack).toContain('theService')
  })
}
