/** A primary with replicas that lag: each replays late, and what is replicated to it is delayed by the network for a random time. */
import { afterAll, beforeAll } from 'vitest'
import { type LocalServer, REPLICATION_HBA, startServer } from '../helpers/local-server.js'
import { type Proxy, startProxy } from '../helpers/proxy.js'

/** `recovery_min_apply_delay` of the replicas. */
const DELAYS = ['5ms', '25ms']
const CHANGE_MILLIS = 10

export interface Lagging {
  readonly primary: LocalServer
  readonly replicas: readonly LocalServer[]
  /** From now on the network delays replication for a random time up to this one, which changes all the time. */
  lag(upToMillis: number): void
}

/** The servers of a file, with 100 rows in a table `notes`. */
export function useLagging(): Lagging {
  const proxies: Proxy[] = []
  const replicas: LocalServer[] = []
  const servers: { primary?: LocalServer } = {}
  let timer: NodeJS.Timeout | undefined
  beforeAll(async () => {
    const primary = await startServer({
      hba: REPLICATION_HBA,
      settings: { max_wal_senders: 10, wal_level: 'replica' },
    })
    servers.primary = primary
    await primary.query('create table notes (id integer primary key, n integer not null)')
    await primary.query('insert into notes select i, 0 from generate_series(1, 100) i')
    const settings = await Promise.all(
      DELAYS.map(async (delay) => {
        const proxy = await startProxy(primary.url)
        proxies.push(proxy)
        const through = `host=127.0.0.1 port=${String(proxy.port)} user=${primary.user} password=${primary.password}`
        return { recovery_min_apply_delay: delay, primary_conninfo: through }
      }),
    )
    replicas.push(...(await primary.startStandbys(settings)))
  })
  afterAll(async () => {
    clearInterval(timer)
    await Promise.all(replicas.map((server) => server.dispose()))
    for (const proxy of proxies) proxy.close()
    await servers.primary?.dispose()
  })
  return {
    get primary() {
      return servers.primary as LocalServer
    },
    replicas,
    lag(upToMillis) {
      clearInterval(timer)
      timer = setInterval(() => {
        for (const proxy of proxies) {
          proxy.delay(Math.random() * upToMillis)
          // It would keep every message.
          proxy.reset()
        }
      }, CHANGE_MILLIS)
    },
  }
}
