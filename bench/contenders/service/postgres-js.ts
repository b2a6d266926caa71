/** postgres.js: prepares every statement by itself, and pipelines the statements of a transaction. */
import postgres from 'postgres'
import {
  changed,
  SERVICE_POOL_SIZE,
  type Fortune,
  type OpenService,
  type World,
} from '../../harness/service-work.js'

export const open: OpenService = (url) => {
  const sql = postgres(url, { max: SERVICE_POOL_SIZE, ssl: false })
  const worldOf = async (on: postgres.ISql, id: number): Promise<World | undefined> =>
    (await on<World[]>`SELECT id, random_number AS "randomNumber" FROM world WHERE id = ${id}`)[0]

  return {
    single: (id) => worldOf(sql, id),
    many: (ids) => Promise.all(ids.map((id) => worldOf(sql, id))),
    fortunes: () => sql<Fortune[]>`SELECT id, message FROM fortune`,
    update: (ids) =>
      sql.begin(async (transaction) => {
        const worlds = changed(await Promise.all(ids.map((id) => worldOf(transaction, id))))
        const numbers = worlds.map(({ randomNumber }) => randomNumber)
        await transaction`
          UPDATE world SET random_number = changed.random_number
          FROM unnest(${[...ids]}::int[], ${numbers}::int[]) AS changed (id, random_number) WHERE world.id = changed.id`
        return worlds
      }),
    close: () => sql.end(),
  }
}
