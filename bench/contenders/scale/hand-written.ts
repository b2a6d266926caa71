/** node-postgres by hand: the same without entities, in as few statements as SQL needs. What grows here as well is not the library's. */
import pg from 'pg'
import {
  requireSize,
  SCALE_POOL_SIZE,
  Undo,
  wideColumns,
  WIDE_ROWS,
  wideTable,
  type Meter,
  type OpenScale,
} from '../../harness/scale-work.js'

interface Held {
  readonly id: number
  amount: number
}

export const open: OpenScale = (connectionString) => {
  const pool = new pg.Pool({ connectionString, max: SCALE_POOL_SIZE, idleTimeoutMillis: 0 })

  const transaction = async <Value>(work: (client: pg.PoolClient) => Promise<Value>): Promise<Value> => {
    const client = await pool.connect()
    try {
      await client.query('BEGIN')
      const value = await work(client)
      await client.query('COMMIT')
      return value
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    } finally {
      client.release()
    }
  }
  const undone = async (work: (client: pg.PoolClient) => Promise<void>): Promise<void> => {
    try {
      await transaction(async (client) => {
        await work(client)
        throw new Undo()
      })
    } catch (error) {
      if (!(error instanceof Undo)) throw error
    }
  }
  const loaded = async (client: pg.PoolClient, size: number): Promise<Held[]> =>
    (await client.query<Held>('SELECT id, name, amount, note FROM held ORDER BY id LIMIT $1', [size])).rows

  return {
    series: {
      flushNew: (size, meter) =>
        undone(async (client) => {
          await meter.mark()
          const objects = Array.from({ length: size }, (_, at) => ({
            id: 0,
            name: `name ${String(at)}`,
            amount: at,
            note: 'a note',
          }))
          await meter.time(async () => {
            const { rows } = await client.query<{ id: number }>(
              'INSERT INTO added (name, amount, note) SELECT * FROM unnest($1::text[], $2::int[], $3::text[]) RETURNING id',
              [
                objects.map(({ name }) => name),
                objects.map(({ amount }) => amount),
                objects.map(({ note }) => note),
              ],
            )
            for (const [at, { id }] of rows.entries()) Object.assign(objects[at] ?? {}, { id })
          })
          meter.weigh()
          requireSize(new Set(objects.map(({ id }) => id)).size, size)
        }),
      flushChanged: (size, meter) =>
        undone(async (client) => {
          const objects = await loaded(client, size)
          for (const one of objects) one.amount += 1
          await meter.time(() =>
            client.query(
              `UPDATE held SET amount = changed.amount
               FROM unnest($1::int[], $2::int[]) AS changed (id, amount) WHERE held.id = changed.id`,
              [objects.map(({ id }) => id), objects.map(({ amount }) => amount)],
            ),
          )
          requireSize(objects.length, size)
        }),
      load: (size, meter) =>
        undone(async (client) => {
          await meter.mark()
          const objects = await meter.time(() => loaded(client, size))
          meter.weigh()
          requireSize(objects.length, size)
        }),
      sessions: async (size, meter) => {
        await meter.mark()
        await meter.time(async () => {
          const all = Array.from({ length: size }, (_, at) =>
            transaction(async (client) => {
              const { rows } = await client.query<{ name: string }>({
                name: 'select_name',
                text: 'SELECT name FROM held WHERE id = $1',
                values: [1 + at],
              })
              return rows[0]?.name
            }),
          )
          meter.weigh()
          requireSize(new Set(await Promise.all(all)).size, size)
        })
      },
      columnsLoad: (size, meter) =>
        undone(async (client) => {
          await meter.mark()
          const { rows } = await meter.time(() =>
            client.query(`SELECT * FROM ${wideTable(size)} LIMIT ${String(WIDE_ROWS)}`),
          )
          meter.weigh()
          requireSize(rows.length, WIDE_ROWS)
        }),
      columnsFlush: (size, meter) =>
        undone(async (client) => {
          const columns = wideColumns(size)
          const arrays = columns.map((one, at) => `$${String(at + 1)}::${one.isText ? 'text' : 'int'}[]`)
          const numbers = Array.from({ length: WIDE_ROWS }, (_, at) => at)
          await meter.time(() =>
            client.query(
              `INSERT INTO ${wideTable(size)} (${columns.map(({ name }) => name).join(', ')})
               SELECT * FROM unnest(${arrays.join(', ')}) RETURNING id`,
              columns.map(({ isText }) => (isText ? numbers.map((one) => `text ${String(one)}`) : numbers)),
            ),
          )
        }),
      text: (size, meter) => large(meter, 'characters', () => 'x'.repeat(size * 1_000_000)),
      bytea: (size, meter) => large(meter, 'bytes', () => Buffer.alloc(size * 1_000_000, 7)),
    },
    close: () => pool.end(),
  }

  function large(meter: Meter, column: 'characters' | 'bytes', make: () => string | Buffer): Promise<void> {
    return undone(async (client) => {
      await meter.mark()
      const value = make()
      const { rows } = await meter.time(() =>
        client.query<{ id: number }>(`INSERT INTO large (${column}) VALUES ($1) RETURNING id`, [value]),
      )
      const found = await meter.time(() =>
        client.query<{ value: string | Buffer }>(`SELECT id, ${column} AS value FROM large WHERE id = $1`, [
          rows[0]?.id,
        ]),
      )
      meter.weigh()
      requireSize(found.rows[0]?.value.length ?? 0, value.length)
    })
  }
}
