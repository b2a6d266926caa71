/** A process whose pool has an idle connection, and that has nothing left to do; see `pg-pool-as-pg.test.ts`. */
import { Pool } from '../../src/integrations/pg-pool.js'

const [allowExitOnIdle] = process.argv.slice(2)
const pool = new Pool({
  connectionString: process.env['DATABASE_URL'],
  idleTimeoutMillis: 300,
  allowExitOnIdle: allowExitOnIdle === 'true',
})
pool.on('remove', () => process.stdout.write('removed'))
await pool.query('select 1')
