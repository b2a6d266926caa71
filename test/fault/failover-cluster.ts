/** A primary with one synchronous standby that is promoted, without Patroni, and the ways to both: proxies, so that each can be cut. */
import { afterEach } from 'vitest'
import type { EngineOptions } from '../../src/index.js'
import { PREPARATION } from '../drill/ledger.js'
import { type LocalServer, REPLICATION_HBA, SUPERUSER, startServer } from '../helpers/local-server.js'
import { type Proxy, startProxy } from '../helpers/proxy.js'

/** How clients find the primary. */
export type Front = 'hosts' | 'one address'

export interface FailoverCluster {
  readonly old: LocalServer
  readonly next: LocalServer
  /** For a list of hosts. */
  readonly toOld: Proxy
  readonly toNext: Proxy
  /** Leads to the primary, as a load balancer does. */
  readonly address: Proxy
  /** From the standby to the primary. */
  readonly replication: Proxy
}

/** Starts clusters that end with their test. */
export function useFailoverClusters(): () => Promise<FailoverCluster> {
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })
  const proxy = async (url: string): Promise<Proxy> => {
    const made = await startProxy(url)
    closing.push(() => made.close())
    return made
  }
  return async () => {
    const old = await startServer({
      hba: REPLICATION_HBA,
      settings: { max_wal_senders: 10, wal_level: 'replica', synchronous_standby_names: '*' },
    })
    closing.push(() => old.dispose())
    for (const statement of PREPARATION) await old.query(statement)
    const replication = await proxy(old.url)
    const { user, password } = SUPERUSER
    const next = await old.startStandby({
      primary_conninfo: `host=127.0.0.1 port=${String(replication.port)} user=${user} password=${password}`,
    })
    closing.push(() => next.dispose())
    const [toOld, toNext, address] = [await proxy(old.url), await proxy(next.url), await proxy(old.url)]
    return { old, next, toOld, toNext, address, replication }
  }
}

/** @param isSynchronous Whether a COMMIT waits for the standby. */
export function optionsFor(
  { toOld, toNext, address }: FailoverCluster,
  front: Front,
  isSynchronous: boolean,
): EngineOptions {
  const ports = front === 'hosts' ? [toOld.port, toNext.port] : [address.port]
  return {
    hosts: ports.map((port) => ({ host: '127.0.0.1', port })),
    ...SUPERUSER,
    database: 'postgres',
    maxOverflow: 0,
    poolTimeoutMillis: 60_000,
    hostTimeoutMillis: 1_000,
    connectArgs: {
      target_session_attrs: 'primary',
      serverSettings: { synchronous_commit: isSynchronous ? 'on' : 'local' },
    },
  }
}

/** Promotes the standby, and leads the one address there. @returns when it was promoted. */
export async function failOver({ next, address }: FailoverCluster): Promise<number> {
  await next.query('select pg_promote()')
  const promotedAt = performance.now()
  address.redirect(next.url)
  // Not awaited: a backend that waits for a standby does not notice.
  for (const connection of address.connections) void connection.cut('reset')
  return promotedAt
}
