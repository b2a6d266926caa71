/** node-postgres as a careful author writes it: a pool, named statements, ROLLBACK on failure, release in finally. */
import pg from 'pg'
import {
  changed,
  SELECT_FORTUNES,
  SELECT_WORLD,
  SERVICE_POOL_SIZE,
  UPDATE_WORLDS,
  type Fortune,
  type OpenService,
  type World,
} from '../../harness/service-work.js'

export const open: OpenService = (connectionString) => {
  const pool = new pg.Pool({ connectionString, max: SERVICE_POOL_SIZE, idleTimeoutMillis: 0 })
  const worldOf = async (on: pg.Pool | pg.PoolClient, id: number): Promise<World | undefined> =>
    (await on.query<World>({ name: 'select_world', text: SELECT_WORLD, values: [id] })).rows[0]

  return {
    single: (id) => worldOf(pool, id),
    many: (ids) => Promise.all(ids.map((id) => worldOf(pool, id))),
    fortunes: async () => (await pool.query<Fortune>({ name: 'fortunes', text: SELECT_FORTUNES })).rows,
    update: async (ids) => {
      const client = await pool.connect()
      try {
        await client.query('BEGIN')
        const read: (World | undefined)[] = []
        for (const id of ids) read.push(await worldOf(client, id))
        const worlds = changed(read)
        const values = [ids, worlds.map(({ randomNumber }) => randomNumber)]
        await client.query({ name: 'update_worlds', text: UPDATE_WORLDS, values })
        await client.query('COMMIT')
        return worlds
      } catch (error) {
        await client.query('ROLLBACK')
        throw error
      } finally {
        client.release()
      }
    },
    close: () => pool.end(),
  }
}
