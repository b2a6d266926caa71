/** What the tests share of a COMMIT that another session goes on behind while it is on its way. */
import { useDatabase, type Fixture } from './session-support.js'

export const ONE = { poolSize: 1, maxOverflow: 0 }

/** Only a COMMIT that another session goes on behind is a message of its own. */
export const isCommit = ({ name, text }: { name: string; text: string }): boolean =>
  name === 'Query' && text === 'COMMIT'

/**
 * A database with `add_row(id)`, a function that hides what it writes: a row shows whether a COMMIT that looks like that of a read
 * was run.
 */
export function useRows(...schema: readonly string[]) {
  const fixture = useDatabase(
    'create table rows (id int)',
    `create function add_row(id int) returns int language sql as 'insert into rows values (id); select id'`,
    ...schema,
  )
  return {
    fixture,
    ids: async (): Promise<number[]> =>
      (await fixture.db.query<{ id: number }>('select id from rows order by id')).map(({ id }) => id),
    /** A factory whose connection is open already, so that no session waits for the connect; and no rows. */
    fresh: async (...options: Parameters<Fixture['factory']>) => {
      await fixture.db.query('truncate rows')
      const factory = fixture.factory(...options)
      await factory.withSession((session) => session.execute('select'))
      return factory
    },
  }
}
